import { fewShotPlaces, holdoutPlaces, MersenneTwister } from "../../evaluation/index.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase, GoldenCheck } from "../fixture.ts";
import type { Json } from "../json.ts";

/** Few-shot subsets and holdout splits, drawn by the published generator. */
export const fewShotSubsetsCase: GoldenCheck = {
  run: async (golden) => checkSubsets(golden),
  inputs: { keys: /^(class_sizes|subsets\.\d+\.(seed|shots)|holdout\.seed)$/, remarks: /^note$/ },
};

/** The file keeps 31 of the generator's 32 bits. */
const storedOutputs = 2 ** 31;

function checkSubsets(golden: GoldenCase): void {
  const { json } = golden;
  const sizes = json.get("class_sizes").numbers();
  const subsets = json.get("subsets");
  for (const index of subsets.keys()) {
    const entry = subsets.get(index);
    const found = fewShotPlaces(sizes, entry.get("shots").number(), entry.get("seed").number());
    comparePlaces(golden, entry.get("chosen"), found);
  }
  const holdout = json.get("holdout");
  const seed = holdout.get("seed").number();
  comparePlaces(golden, holdout.get("thirty_per_class"), holdoutPlaces(sizes, { perClass: 30 }, seed));
  comparePlaces(golden, holdout.get("eighty_percent"), holdoutPlaces(sizes, { share: 0.8 }, seed));
  const outputs = json.get("first_raw_outputs");
  for (const name of outputs.keys()) {
    const stored = outputs.get(name);
    const random = new MersenneTwister(Number(name));
    const expected = stored.numbers();
    const words = expected.map(() => random.word() % storedOutputs);
    golden.add(stored.path, words, expected, goldenBounds.exact);
  }
}

function comparePlaces(golden: GoldenCase, stored: Json, found: readonly Uint32Array[]): void {
  golden.addError(`${stored.path} classes`, Math.abs(stored.keys().length - found.length), goldenBounds.exact);
  found.forEach((places, label) => {
    const expected = stored.get(label);
    golden.add(expected.path, places, expected.numbers(), goldenBounds.exact);
  });
}
