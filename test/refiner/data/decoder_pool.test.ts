import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BrokenImageError, batches, DataOptionError, DecoderError } from "../../../refiner/data/index.ts";
import { openDecoder, openImages } from "../../../refiner/data/index_node.ts";
import { buildDecoderWorker } from "./decoder_worker.ts";

let workerFile: URL;
let folder = "";
beforeAll(async () => {
  workerFile = await buildDecoderWorker();
  folder = await mkdtemp(join(tmpdir(), "pool-"));
  for (let value = 0; value < 12; value++) {
    const size = value % 2 === 0 ? 300 : 20; // large ones take longer, so that answers come out of order
    const image = sharp({ create: { width: size, height: size, channels: 3, background: { r: value, g: 0, b: 0 } } });
    await writeFile(join(folder, `${String(value).padStart(2, "0")}.png`), await image.png().toBuffer());
  }
  await writeFile(join(folder, "12.png"), "not an image");
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(fileURLToPath(workerFile));
});

describe("openDecoder", () => {
  it("answers each request with its own image, however many threads there are", async () => {
    for (const workers of [0, 1, 3]) {
      const source = await openImages(folder, { workers, workerFile });
      const images = await Promise.all(Array.from({ length: 12 }, (_, index) => source.load(index)));
      expect(images.map((image) => image.data[0])).toEqual(Array.from({ length: 12 }, (_, value) => value));
      await source.close?.();
    }
  });

  it("gives the same batches with and without threads", async () => {
    const seen: number[][] = [];
    for (const workers of [0, 2]) {
      const source = await openImages(folder, { workers, workerFile });
      const reds: number[] = [];
      for await (const batch of batches(source, { batchSize: 5, seed: 4, epoch: 0, maxBad: 0.1 })) {
        reds.push(...batch.images.map((image) => image.data[0] ?? -1));
      }
      seen.push(reds);
      await source.close?.();
    }
    expect(seen[0]?.length).toBe(10);
    expect(seen[1]).toEqual(seen[0]);
  });

  it("reports a broken file with its path and goes on", async () => {
    const decoder = openDecoder({ workers: 1, workerFile });
    const path = join(folder, "12.png");
    const decoding = decoder.decode(path, { path }, { channels: 3 });
    await expect(decoding).rejects.toThrow(BrokenImageError);
    await expect(decoding).rejects.toThrow(path);
    const missing = decoder.decode("gone.png", { path: join(folder, "gone.png") }, { channels: 3 });
    await expect(missing).rejects.toThrow(/gone.png cannot be decoded \(.*missing/);
    const whole = await decoder.decode("1", { path: join(folder, "01.png") }, { channels: 3 });
    expect(whole.data[0]).toBe(1);
    await decoder.close();
  });

  it("drops waiting requests whose signal is aborted", async () => {
    const decoder = openDecoder({ workers: 1, workerFile });
    const stop = new AbortController();
    const path = join(folder, "00.png");
    const running = Array.from({ length: 2 }, () => decoder.decode("a", { path }, { channels: 3 }));
    const waiting = decoder.decode("b", { path }, { channels: 3, signal: stop.signal });
    stop.abort(new Error("no longer needed"));
    await expect(waiting).rejects.toThrow("no longer needed");
    expect((await Promise.all(running)).length).toBe(2);
    await decoder.close();
  });

  it("rejects what is under way when it is closed", async () => {
    const decoder = openDecoder({ workers: 1, workerFile });
    const decoding = Promise.allSettled(
      Array.from({ length: 5 }, () => decoder.decode("a", { path: join(folder, "00.png") }, { channels: 3 })),
    );
    await decoder.close();
    for (const result of await decoding)
      expect(result).toMatchObject({ status: "rejected", reason: expect.any(DecoderError) });
  });

  it("fails as a whole, not image by image, when a thread stops", async () => {
    const crashing = join(folder, "crash.mjs");
    await writeFile(crashing, 'throw new Error("out of order");');
    const decoder = openDecoder({ workers: 1, workerFile: pathToFileURL(crashing) });
    const decoding = decoder.decode("a", { path: join(folder, "00.png") }, { channels: 3 });
    await expect(decoding).rejects.toThrow(DecoderError);
    await expect(decoding).rejects.toThrow(/out of order/);
    await decoder.close();
  });

  it("refuses a number of threads that is no count", () => {
    expect(() => openDecoder({ workers: -1 })).toThrow(DataOptionError);
  });
});
