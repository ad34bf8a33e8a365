import type { ImageBatch } from "../../data/index.ts";

/**
 * An order of a batch in which every micro-batch holds whole pairs: image i of the batch is mixed with image B - 1 - i, and so is
 * image i of a part of m images with image m - 1 - i of that part.
 *
 * @param part - images per micro-batch; even, as the batch is, unless it is the whole batch
 * @returns the place in the batch of each image
 */
export function pairedOrder(batch: number, part: number): Uint32Array {
  const order: number[] = [];
  for (let first = 0; first < batch; first += part) {
    const size = Math.min(part, batch - first);
    const low = first / 2;
    const half = Math.ceil(size / 2);
    for (let i = 0; i < half; i++) order.push(low + i);
    for (let i = half; i < size; i++) order.push(batch - low - size + i);
  }
  return Uint32Array.from(order);
}

/** A batch in another order. */
export function reordered({ number, images, indices, labels }: ImageBatch, order: Uint32Array): ImageBatch {
  return {
    number,
    images: Array.from(order, (place) => images[place]).filter((image) => image !== undefined),
    indices: Uint32Array.from(order, (place) => indices[place] ?? 0),
    labels: Int32Array.from(order, (place) => labels[place] ?? -1),
  };
}
