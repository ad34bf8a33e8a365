import { describe, expect, it } from "vitest";
import {
  BrokenImageError,
  BrokenImages,
  batches,
  batchesOfEpochs,
  batchesPerEpoch,
  DataOptionError,
  epochOrder,
  type ImageBatch,
  type ImageSource,
  imagesInMemory,
  orderedBatches,
  streamBatches,
  TooFewImagesError,
  TooManyBrokenImagesError,
} from "../../../refiner/data/index.ts";

// Images of one pixel whose value is their index; those of `broken` fail.
function numbered(
  length: number,
  broken: readonly number[] = [],
  delayMs: (index: number) => number = () => 0,
): ImageSource {
  const memory = imagesInMemory(
    Array.from({ length }, (_, index) => ({ width: 1, height: 1, channels: 1, data: Uint8Array.of(index) }) as const),
    { labels: Array.from({ length }, (_, index) => index % 3) },
  );
  return {
    ...memory,
    load: async (index, options) => {
      if (delayMs(index) > 0) await new Promise((resolve) => setTimeout(resolve, delayMs(index)));
      options?.signal?.throwIfAborted();
      if (broken.includes(index)) throw new BrokenImageError(`image ${index}`, "made so");
      return memory.load(index);
    },
  };
}

async function all(stream: AsyncIterable<ImageBatch>): Promise<ImageBatch[]> {
  const collected: ImageBatch[] = [];
  for await (const batch of stream) collected.push(batch);
  return collected;
}
const indices = (found: readonly ImageBatch[]) => found.map((batch) => [...batch.indices]);

describe("batches", () => {
  it("gives each image of the epoch's order once and drops the incomplete last batch", async () => {
    const found = await all(batches(numbered(10), { batchSize: 3, seed: 5, epoch: 1 }));
    expect(indices(found).flat()).toEqual([...epochOrder(10, 5, 1).subarray(0, 9)]);
    expect(found.length).toBe(batchesPerEpoch(10, 3));
  });

  it("gives images and labels that belong to the indices", async () => {
    for (const batch of await all(batches(numbered(10), { batchSize: 5, seed: 5, epoch: 0 }))) {
      expect(batch.images.map((image) => image.data[0])).toEqual([...batch.indices]);
      expect([...batch.labels]).toEqual(Array.from(batch.indices, (index) => index % 3));
    }
  });

  it("does not depend on loading times or prefetch", async () => {
    const options = { batchSize: 4, seed: 1, epoch: 0 };
    const slow = await all(
      batches(
        numbered(20, [3], (index) => (index * 7) % 5),
        { ...options, prefetch: 3, maxBad: 1 },
      ),
    );
    const straight = await all(batches(numbered(20, [3]), { ...options, prefetch: 0, maxBad: 1 }));
    expect(indices(slow)).toEqual(indices(straight));
  });

  it("goes on within an epoch with the batches of the whole epoch, broken images included", async () => {
    const options = { batchSize: 4, seed: 9, epoch: 2, maxBad: 1 };
    const whole = await all(batches(numbered(20, [0, 11]), options));
    const rest = await all(batches(numbered(20, [0, 11]), { ...options, firstBatch: 3 }));
    expect(indices(rest)).toEqual(indices(whole.slice(3)));
  });

  it("replaces a broken image by another one that the batch does not hold", async () => {
    const broken = new BrokenImages(12, { maxBad: 1 });
    const found = await all(batches(numbered(12, [2, 7]), { batchSize: 6, seed: 0, epoch: 0, broken }));
    expect(found.length).toBe(2);
    for (const batch of found) {
      expect(new Set(batch.indices).size).toBe(6);
      expect(batch.indices).not.toContain(2);
      expect(batch.indices).not.toContain(7);
    }
    expect(broken.errors.map((error) => error.imageName).sort()).toEqual(["image 2", "image 7"]);
  });

  it("reports each broken image once over several epochs", async () => {
    const reported: number[] = [];
    const broken = new BrokenImages(8, { maxBad: 1, onBroken: (_, index) => reported.push(index) });
    for (let epoch = 0; epoch < 3; epoch++) {
      await all(batches(numbered(8, [4]), { batchSize: 4, seed: 0, epoch, broken }));
    }
    expect(reported).toEqual([4]);
  });

  it("fails above maxBad and names the first broken images", async () => {
    const reading = all(batches(numbered(100, [10, 20, 30]), { batchSize: 10, seed: 0, epoch: 0, maxBad: 0.02 }));
    await expect(reading).rejects.toThrow(TooManyBrokenImagesError);
    await expect(reading).rejects.toThrow(
      /3 of 100 images are broken, more than the accepted 2 %: image \d+ \(made so\)/,
    );
  });

  it("accepts exactly maxBad", async () => {
    const found = await all(batches(numbered(100, [10, 20]), { batchSize: 10, seed: 0, epoch: 0, maxBad: 0.02 }));
    expect(found.length).toBe(10);
  });

  it("passes on an error that is not one image's fault", async () => {
    const source = { ...numbered(4), load: () => Promise.reject(new TypeError("a bug")) };
    await expect(all(batches(source, { batchSize: 2, seed: 0, epoch: 0, maxBad: 1 }))).rejects.toThrow("a bug");
  });

  it("refuses a data set smaller than a batch", () => {
    expect(() => batches(numbered(3), { batchSize: 4, seed: 0, epoch: 0 })).toThrow(TooFewImagesError);
  });

  it("refuses a batch size of 0", () => {
    expect(() => batches(numbered(3), { batchSize: 0, seed: 0, epoch: 0 })).toThrow(DataOptionError);
  });

  it("asks for no image after the loop was left", async () => {
    let asked = 0;
    const signals: (AbortSignal | undefined)[] = [];
    const source = numbered(100, [], () => 1);
    const counting: ImageSource = {
      ...source,
      load: (index, options) => {
        asked++;
        signals.push(options?.signal);
        return source.load(index, options);
      },
    };
    for await (const batch of batches(counting, { batchSize: 10, seed: 0, epoch: 0, prefetch: 1 })) {
      expect(batch.number).toBe(0);
      break;
    }
    expect(signals.every((signal) => signal?.aborted)).toBe(true);
    const afterLeaving = asked;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(asked).toBe(afterLeaving);
    expect(asked).toBeLessThanOrEqual(20); // the batch in use and one ahead
  });

  it("stops with the reason of its signal", async () => {
    const stop = new AbortController();
    const reading = all(
      batches(
        numbered(100, [], () => 1),
        { batchSize: 10, seed: 0, epoch: 0, signal: stop.signal },
      ),
    );
    stop.abort(new Error("asked to stop"));
    await expect(reading).rejects.toThrow("asked to stop");
  });
});

describe("orderedBatches", () => {
  it("visits every image in order, the last batch smaller", async () => {
    const found = await all(orderedBatches(numbered(7), { batchSize: 3 }));
    expect(indices(found)).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });

  it("leaves broken images out", async () => {
    const found = await all(orderedBatches(numbered(6, [1, 5]), { batchSize: 3, maxBad: 1 }));
    expect(indices(found)).toEqual([
      [0, 2],
      [3, 4],
    ]);
  });
});

describe("batchesOfEpochs", () => {
  const source = imagesInMemory(
    Array.from({ length: 11 }, (_, i) => ({ width: 1, height: 1, channels: 1 as const, data: Uint8Array.of(i) })),
  );

  it("gives what its epochs give one by one, from any batch on", async () => {
    const single: number[][] = [];
    for (const epoch of [0, 1, 2])
      for await (const { indices } of batches(source, { batchSize: 4, seed: 3, epoch })) single.push([...indices]);
    const several: number[][] = [];
    for await (const { indices } of batchesOfEpochs(source, { batchSize: 4, seed: 3, first: 1, end: 6 }))
      several.push([...indices]);
    expect(several).toEqual(single.slice(1));
  });

  it("decodes the next epoch's first batch while the last of this one is in use", async () => {
    const asked: number[] = [];
    const watched = {
      ...source,
      load: (index: number) => {
        asked.push(index);
        return source.load(index);
      },
    };
    const feed = batchesOfEpochs(watched, { batchSize: 4, seed: 3, first: 0, end: 4, prefetch: 1 });
    await feed.next();
    await feed.next(); // the last of the first epoch
    expect(asked).toHaveLength(12);
    await feed.return();
  });
});

describe("streamBatches", () => {
  it("numbers the images of a stream and drops the rest", async () => {
    const stream = Array.from({ length: 5 }, (_, label) => ({
      image: { width: 1, height: 1, channels: 3, data: new Uint8Array(3) } as const,
      label,
    }));
    const found = await all(streamBatches(stream, { batchSize: 2 }));
    expect(indices(found)).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(found.map((batch) => [...batch.labels])).toEqual([
      [0, 1],
      [2, 3],
    ]);
  });
});
