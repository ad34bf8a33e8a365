import process from "node:process";
import sharp from "sharp";
import { expect, it } from "vitest";
import { openDecoder } from "../../../refiner/data/decoding/decoder_pool_node.ts";
import { buildDecoderWorker } from "./decoder_worker.ts";

const [width, height] = [1000, 800];
const grey = { create: { width, height, channels: 3 as const, background: "#808080" } };

// Decoded are 720 MB in all. Up to 51 MB stayed in three runs: what the decoder keeps, and garbage that awaits its collection.
it.each([0, 1])("memory stays flat over many images, with %s threads", { timeout: 60_000 }, async (workers) => {
  const bytes = new Uint8Array(await sharp(grey).jpeg().toBuffer());
  const decoder = openDecoder({ workers, workerFile: await buildDecoderWorker() });
  const decode = async (images: number): Promise<void> => {
    for (let i = 0; i < images; i++)
      expect((await decoder.decode("grey", { bytes }, { channels: 3 })).height).toBe(height);
  };
  await decode(20);
  const before = process.memoryUsage().rss;
  await decode(300);
  expect(process.memoryUsage().rss - before).toBeLessThan(300e6);
  await decoder.close();
});
