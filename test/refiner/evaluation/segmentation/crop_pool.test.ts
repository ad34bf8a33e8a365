import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostUniform } from "../../../../engine/index.ts";
import { openCropper } from "../../../../node.ts";
import {
  type CropRequest,
  croppedPixels,
  drawsPerCrop,
} from "../../../../refiner/evaluation/segmentation/cropped_pixels.ts";
import { buildThreadProgram } from "../../data/decoder_worker.ts";

let workerFile: URL;
beforeAll(async () => {
  workerFile = await buildThreadProgram("refiner/evaluation/segmentation/crop_worker_node.ts");
});
afterAll(() => rm(fileURLToPath(workerFile)));

/** Images of several sizes, larger and smaller than the crop; some stand in a larger memory. */
function request(step: number): CropRequest {
  const [width, height] = [20 + 7 * step, 35 - 3 * step];
  const memory = new Uint8Array(3 * width * height + 11).map((_, i) => (Math.imul(i + step, 2654435761) >>> 13) & 255);
  const data = step % 2 === 0 ? memory.subarray(11) : memory.slice(11);
  const labels = Int32Array.from({ length: width * height }, (_, i) => ((i >> 3) + step) % 4);
  return {
    whole: { image: { width, height, channels: 3, data }, labels: { width, height, data: labels } },
    side: 24,
    uniform: hostUniform(drawsPerCrop, { seed: 3, purpose: "crops", step }),
    normalisation: { mean: [0.4, 0.5, 0.6], deviation: [0.2, 0.3, 0.4] },
  };
}

describe("openCropper", () => {
  it.each([0, 1, 3])("gives the crops of the calling thread to the bit, with %i threads", async (workers) => {
    const cropper = openCropper({ workers, workerFile });
    const requests = Array.from({ length: 9 }, (_, step) => request(step));
    const expected = requests.map((one) => croppedPixels(one));
    const crops = await Promise.all(requests.map((one) => cropper.crop(one)));
    await cropper.close();
    expect(crops).toEqual(expected);
    expect(new Set(expected.map(({ planes }) => planes.join())).size).toBe(9);
    // What was sent is still there.
    expect(requests.map((one) => one.whole.image.data.length)).toEqual(
      requests.map(({ whole: { image } }) => 3 * image.width * image.height),
    );
  });

  it("leaves crops to its threads: where these cannot start, there are none", async () => {
    const cropper = openCropper({ workers: 1, workerFile: new URL("nowhere.mjs", workerFile) });
    await expect(cropper.crop(request(1))).rejects.toThrow(/cropper: a thread stopped \(.*; try again with workers 0/);
    await cropper.close();
  });

  it("says that it was closed", async () => {
    const cropper = openCropper({ workers: 1, workerFile });
    const crop = expect(cropper.crop(request(1))).rejects.toThrow(/cropper: it was closed before all images were done/);
    await cropper.close();
    await crop;
  });

  it("refuses numbers of threads that are none", () => {
    expect(() => openCropper({ workers: -1 })).toThrow(/workers is -1; give a whole number from 0/);
  });
});
