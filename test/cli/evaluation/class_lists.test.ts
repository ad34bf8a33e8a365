import { expect, it } from "vitest";
import { ClassifierTester } from "../../../cli/evaluation/robustness_testers.ts";
import { Output } from "../../../cli/output/streams.ts";
import { valuesOf } from "../../../engine/testing/index.ts";
import { Classifier, vitConfig } from "../../../models/index.ts";
import { imagesInMemory } from "../../../refiner/data/index.ts";
import { imageNetAClasses, imageNetRClasses } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const side = 8;
/** As the folders of ImageNet are called. */
const wordNet = (place: number): string => `n${String(1_440_764 + 977 * place).padStart(8, "0")}`;
const thousand = Array.from({ length: 1000 }, (_, place) => wordNet(place));
const output = new Output({ out: () => {}, err: () => {}, isTerminal: false }, { json: false, quiet: true });
const run = { output, signal: new AbortController().signal };

async function classifier(): Promise<Classifier> {
  const sizes = { patchPixels: 4, width: 8, blocks: 1, heads: 2, channels: 1, heightPixels: side, widthPixels: side };
  const config = vitConfig(sizes);
  const images = { pixels: side, mean: [0.5], deviation: [0.5] };
  const model = new Classifier(device, config, { classNames: thousand, pooling: "cls", ...images });
  const encoder = randomEncoder(device, config);
  await model.copyEncoder(encoder);
  encoder.destroy();
  device.write(model.parameters.get("head.weight"), valuesOf("normal", 3, 1000 * 8));
  return model;
}

/** An image of each of 200 classes. */
function images(classNames: readonly string[]) {
  const data = (i: number) => Uint8Array.from(valuesOf("normal", i + 1, 64), (value) => Math.abs(80 * value) % 256);
  return imagesInMemory(
    Array.from({ length: 200 }, (_, i) => ({ width: side, height: side, channels: 1 as const, data: data(i) })),
    { labels: Array.from({ length: 200 }, (_, i) => i), classNames: [...classNames] },
  );
}

const lists = { "imagenet-a": imageNetAClasses, "imagenet-r": imageNetRClasses } as const;

it.each(["imagenet-a", "imagenet-r"] as const)(
  "images of %s have the classes of its list, and no other is given to them",
  {
    timeout: 120_000,
  },
  async (name) => {
    const list = lists[name];
    const tester = new ClassifierTester(run, await classifier(), { classList: name, testedClasses: false, maxBad: 0 });
    for (const names of [list.map(wordNet), list.map((_, i) => `renamed ${String(i).padStart(3, "0")}`)]) {
      const found = await tester.predict(images(names));
      expect([...Array.from(found.labels)]).toEqual([...list]);
      expect(Array.from(found.predicted).every((place) => list.includes(place))).toBe(true);
    }
    // Names tell the same, where they are the classifier's.
    const { model } = tester;
    const byName = new ClassifierTester(run, model, { testedClasses: true, maxBad: 0 });
    const listed = await tester.predict(images(list.map(wordNet)));
    expect(await byName.predict(images(list.map(wordNet)))).toEqual(listed);
    const all = await new ClassifierTester(run, model, { testedClasses: false, maxBad: 0 }).predict(
      images(list.map(wordNet)),
    );
    expect(Array.from(all.predicted).some((place) => !list.includes(place))).toBe(true);
    tester.destroy();
  },
);

it("a list is refused where names of the classes stand elsewhere in it", async () => {
  const tester = new ClassifierTester(run, await classifier(), {
    classList: "imagenet-a",
    testedClasses: false,
    maxBad: 0,
  });
  const other = images(imageNetRClasses.map(wordNet));
  await expect(tester.predict(other)).rejects.toThrow(/is not where --class-list imagenet-a has it/);
  tester.destroy();
});

it("images of classes that a classifier does not have are counted, once", { timeout: 60_000 }, async () => {
  const told: string[] = [];
  const streams = { out: () => {}, err: (text: string) => void told.push(text), isTerminal: false };
  const speaking = { ...run, output: new Output(streams, { json: false, quiet: false }) };
  const tester = new ClassifierTester(speaking, await classifier(), { testedClasses: false, maxBad: 0 });
  const partly = images(Array.from({ length: 200 }, (_, i) => (i < 150 ? wordNet(i) : `unknown ${i}`)));
  for (let folder = 0; folder < 2; folder++) expect((await tester.predict(partly)).indices).toHaveLength(150);
  expect(told).toEqual(["50 of 200 test images are of no class of the classifier and are left out\n"]);
  tester.destroy();
});
