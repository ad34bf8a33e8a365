import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../../engine/files/index.ts";
import { OptionError } from "../../../../engine/index.ts";
import { loadClassifier } from "../../../../models/index.ts";
import {
  classifierAccuracy,
  type FinetuneEvent,
  finetune,
  finetuneConfig,
  type ImageSource,
  imagesInMemory,
  MemoryRunStore,
} from "../../../../refiner/index.ts";
import { testDevice } from "../../../device.ts";
import { classNames, smallBatch, smallEncoder, smallSettings } from "./small_task.ts";

const device = await testDevice();

/** 24 images of three classes. */
function source(labelOf = (image: number): number | undefined => image % 3): ImageSource {
  const { images } = smallBatch(24);
  return imagesInMemory(images, { labels: images.map((_, image) => labelOf(image)), classNames });
}

async function run(images: ImageSource, store = new MemoryRunStore()) {
  const training = finetune({
    encoder: smallEncoder(device),
    images,
    config: finetuneConfig({ ...smallSettings, enlarge: true }),
    store,
    test: (model) => classifierAccuracy(model, images),
  });
  const events: FinetuneEvent[] = [];
  let next = await training.next();
  for (; !next.done; next = await training.next()) events.push(next.value);
  return { events, result: next.value, store };
}

describe("finetune", () => {
  it("trains in memory, tests on the way and in the end, and hands out what it writes", {
    timeout: 120_000,
  }, async () => {
    const { events, result, store } = await run(source());
    expect(events.filter(({ kind }) => kind === "update")).toHaveLength(6);
    expect(result).toMatchObject({ finished: true, updates: 6 });
    expect(result.tests.map(({ epoch, images }) => [epoch, images])).toEqual([
      [1, 24],
      [2, 24],
    ]);
    const file = await openCheckpoint(await store.open("classifier.safetensors"));
    const { model } = await loadClassifier(device, file);
    expect(model.description).toEqual(result.model.description);
    expect(model.description.classNames).toEqual(classNames);
    for (const name of ["head.weight", "pos_embed.embed", "blocks.2.attn.qkv.weight"])
      expect(await model.parameters.get(name).read()).toEqual(await result.model.parameters.get(name).read());
  });

  it("leaves out images without a label, keeps classes without images, and says so", { timeout: 120_000 }, async () => {
    const { events, result } = await run(source((image) => (image % 5 === 4 ? undefined : image % 2)));
    const notices = events.flatMap((event) => (event.kind === "notice" ? [event.text] : []));
    expect(notices).toEqual(["4 of 24 images have no label and are left out", "1 of 3 classes have no images: c"]);
    expect(result.updates).toBe(4); // 20 images are two batches of 8
    expect(result.model.description.classNames).toEqual(classNames);
  });

  it.each([
    ["no labels", source(() => undefined), "no image has a label"],
    ["one class", source(() => 1), "all images are of one class (b)"],
  ])("refuses a set with %s", async (_, images, message) => {
    const running = run(images);
    await expect(running).rejects.toThrow(OptionError);
    await expect(running).rejects.toThrow(message);
  });

  it("refuses colour for an encoder of grey images", async () => {
    const colour = { width: 12, height: 12, channels: 3 as const, data: new Uint8Array(432) };
    const images = imagesInMemory([colour, colour], { labels: [0, 1] });
    await expect(run(images)).rejects.toThrow("the images have 3 channels, the encoder takes 1");
  });
});
