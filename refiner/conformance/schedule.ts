import { layerDecayFactor, learningRateAt, peakLearningRate } from "../training/schedule.ts";
import { type GoldenCase, goldenBounds } from "./fixture.ts";

/** Learning rates of every update and layer-wise factors of every parameter. */
export async function checkSchedule(golden: GoldenCase): Promise<void> {
  const rates = golden.json.get("learning_rate");
  for (const index of rates.keys()) {
    const entry = rates.get(index);
    const number = (key: string): number => entry.get(key).number();
    const peak = peakLearningRate(number("base_lr"), number("batch_size"));
    golden.addScalar(entry.get("peak_lr"), peak, goldenBounds.forward);
    const schedule = {
      peak,
      warmupUpdates: number("warmup_epochs") * number("updates_per_epoch"),
      totalUpdates: number("epochs") * number("updates_per_epoch"),
      end: number("end_lr"),
    };
    const expected = entry.get("learning_rates");
    const values = expected.numbers();
    golden.add(
      expected.path,
      values.map((_, update) => learningRateAt(schedule, update)),
      values,
      goldenBounds.forward,
    );
  }
  const decays = golden.json.get("layerwise_decay");
  for (const index of decays.keys()) {
    const entry = decays.get(index);
    const blocks = entry.get("depth").number();
    const decay = entry.get("decay").number();
    for (const name of entry.get("scale").keys()) {
      golden.addScalar(
        entry.get("scale", name),
        layerDecayFactor(decay, depthOf(name, blocks), blocks),
        goldenBounds.forward,
      );
    }
  }
}

/** Depth of a parameter: 0 embedding, j + 1 block j, blocks + 1 the last norm. */
function depthOf(name: string, blocks: number): number {
  const block = /^blocks\.(\d+)\./.exec(name)?.[1];
  if (block !== undefined) return Number(block) + 1;
  return name.startsWith("norm.") ? blocks + 1 : 0;
}
