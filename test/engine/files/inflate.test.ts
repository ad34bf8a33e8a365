import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { TruncatedFileError } from "../../../engine/files/errors.ts";
import { inflateSource } from "../../../engine/files/zip/inflate.ts";

describe("a compressed stream", () => {
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
  const source = (): ReturnType<typeof inflateSource> =>
    inflateSource(memorySource(new Uint8Array(deflateRawSync(data))), data.length);
  test("is read onwards, skipping, and back", async () => {
    const stream = source();
    for (const [offset, length] of [
      [0, 10],
      [10, 5],
      [200_000, 70_000],
      [3, 4],
      [299_999, 1],
      [0, 300_000],
    ] as const) {
      expect(
        Buffer.compare(
          Buffer.from(await stream.read(offset, length)),
          Buffer.from(data.subarray(offset, offset + length)),
        ),
      ).toBe(0);
    }
    await expect(stream.read(299_999, 2)).rejects.toThrow(TruncatedFileError);
    await stream.close();
  });
  test("can be closed half way", async () => {
    const stream = source();
    await stream.read(0, 1);
    await stream.close();
  });
});
