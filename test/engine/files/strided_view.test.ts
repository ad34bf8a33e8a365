import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OverLimitError } from "../../../engine/core/errors.ts";
import { type ByteSource, memorySource } from "../../../engine/files/byte_source.ts";
import { type FileDType, tensorFromBytes } from "../../../engine/files/host_tensor.ts";
import {
  readsForward,
  readView,
  readViewAsF32,
  rowMajorStrides,
  viewExtent,
} from "../../../engine/files/strided_view.ts";

const views = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 9 })), { maxLength: 4 })
  .map((axes) => ({ shape: axes.map(([size]) => size), strides: axes.map(([, stride]) => stride) }));

/** Elements of a view, one index at a time. */
function elementsAt(
  shape: readonly number[],
  strides: readonly number[],
  at: (offset: number) => number | bigint,
): (number | bigint)[] {
  const [size, ...inner] = shape;
  const [stride = 0, ...innerStrides] = strides;
  if (size === undefined) return [at(0)];
  return Array.from({ length: size }, (_, i) =>
    elementsAt(inner, innerStrides, (offset) => at(offset + i * stride)),
  ).flat();
}

/** A source that counts what is read from it. */
function counting(source: ByteSource): ByteSource & { bytesRead: number; largest: number } {
  const counter = {
    ...source,
    bytesRead: 0,
    largest: 0,
    async read(offset: number, length: number) {
      counter.bytesRead += length;
      counter.largest = Math.max(counter.largest, length);
      return source.read(offset, length);
    },
  };
  return counter;
}

describe("a strided view", () => {
  for (const dtype of ["u8", "i16", "f32", "f64", "i64"] satisfies FileDType[]) {
    test(`of ${dtype} reads what indexing gives, whatever the strides`, async () => {
      await fc.assert(
        fc.asyncProperty(views, fc.integer({ min: 0, max: 3 }), async ({ shape, strides }, first) => {
          const count = first + Math.max(1, viewExtent(shape, strides));
          const size = tensorFromBytes(dtype, [0], new Uint8Array(0)).data.BYTES_PER_ELEMENT;
          // Small positive numbers of every type: only the low byte, or for floats whole patterns, differ.
          const base = tensorFromBytes(
            dtype,
            [count],
            Uint8Array.from({ length: count * size }, (_, i) => (i * 37) % 63),
          );
          const source = memorySource(new Uint8Array(base.data.buffer));
          const view = { source, offsetBytes: first * size, dtype, shape, strides };
          const want = elementsAt(shape, strides, (offset) => base.data[first + offset] ?? 0);
          const tensor = await readView(view);
          expect([tensor.shape, Array.from<number | bigint>(tensor.data)]).toEqual([shape, want]);
          expect(Array.from(await readViewAsF32(view))).toEqual(want.map((value) => Math.fround(Number(value))));
        }),
        { numRuns: 200 },
      );
    });
  }

  test("larger than a window is read in pieces, each byte about once, transposed or not", async () => {
    const [rows, columns] = [1500, 2000];
    const data = Float32Array.from({ length: rows * columns }, (_, i) => i); // 12 MB, three windows
    const file = memorySource(new Uint8Array(data.buffer));
    const straight = counting(file);
    const same = await readView({
      source: straight,
      offsetBytes: 0,
      dtype: "f32",
      shape: [rows, columns],
      strides: [columns, 1],
    });
    expect(Buffer.compare(Buffer.from(same.data.buffer), Buffer.from(data.buffer))).toBe(0);
    const turned = counting(file);
    const flipped = await readViewAsF32({
      source: turned,
      offsetBytes: 0,
      dtype: "f32",
      shape: [columns, rows],
      strides: [1, columns],
    });
    for (const [i, j] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [1999, 1499],
      [777, 1234],
    ] as const) {
      expect(flipped[i * rows + j]).toBe(j * columns + i);
    }
    for (const source of [straight, turned]) {
      expect(source.bytesRead).toBe(data.byteLength);
      expect(source.largest).toBeLessThanOrEqual(4 * 2 ** 20);
    }
  });

  test("with steps wider than a window reads its elements only", async () => {
    const source = counting(memorySource(new Uint8Array(30 * 2 ** 20)));
    const tensor = await readView({ source, offsetBytes: 0, dtype: "u8", shape: [2, 5], strides: [1, 6 * 2 ** 20] });
    expect(tensor.data.length).toBe(10);
    expect(source.bytesRead).toBe(10);
  });

  test("repeated along an axis reads its elements once", async () => {
    const source = counting(memorySource(Uint8Array.of(1, 2, 3)));
    const tensor = await readView({ source, offsetBytes: 0, dtype: "u8", shape: [100_000, 3], strides: [0, 1] });
    expect([tensor.data[299_999], source.bytesRead]).toEqual([3, 3]);
  });

  test("is told to go back and forth exactly where its parts overlap", () => {
    expect(readsForward([3, 4], rowMajorStrides([3, 4]))).toBe(true);
    expect(readsForward([4, 3], [1, 4])).toBe(true);
    expect(readsForward([4, 3], [0, 1])).toBe(true);
    expect(readsForward([4, 3], [2, 1])).toBe(false);
  });
});

test("a view larger than any array is refused with a typed error", async () => {
  const shape = [2 ** 26, 2 ** 26];
  const source = memorySource(new Uint8Array(4), "small");
  const view = { source, offsetBytes: 0, dtype: "u8" as const, shape, strides: [0, 0] };
  await expect(readView(view)).rejects.toThrow(OverLimitError);
  await expect(readViewAsF32(view)).rejects.toThrow("more than this process can hold");
});
