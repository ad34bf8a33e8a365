import { expect, it } from "vitest";
import { refuseSmallImages } from "../../../refiner/data/batches/small_images.ts";
import { BrokenImageError, type ImageSource, imagesInMemory } from "../../../refiner/data/index.ts";

const bounds = { viewPixels: 16, resizeTo: 32 };

function sides(...pixels: readonly number[]): ImageSource {
  return imagesInMemory(
    pixels.map((side) => ({ width: side, height: 20, channels: 3 as const, data: new Uint8Array(3 * side * 20) })),
  );
}

it("refuses a set whose images are all smaller than the views, with sizes and remedies", async () => {
  await expect(refuseSmallImages("refine", sides(4, 15, 9), bounds)).rejects.toThrow(
    /refine: the images are smaller than the views of 16 × 16 px \(the largest of 3 is 15 × 20\).*--enlarge/,
  );
});

it("takes a set in which one image is large enough, and leaves broken ones to the training", async () => {
  await refuseSmallImages("refine", sides(4, 16, 9), bounds);
  const broken: ImageSource = {
    ...sides(4, 4),
    length: 2,
    load: () => Promise.reject(new BrokenImageError("a.jpg", "premature end")),
  };
  await refuseSmallImages("refine", broken, bounds);
});
