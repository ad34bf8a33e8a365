import { describe, expect, test } from "vitest";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { floats, open, small } from "./file_bytes.ts";
import { littleEndian, numbersBytes, pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

describe("the container before zip", () => {
  const magic = pickleBytes("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
  const version = (value = 1001): Uint8Array => pickleBytes("\x80\x02M", littleEndian(value, 2), ".");
  const system = (little = "\x88"): Uint8Array => pickleBytes("\x80\x02}", textBytes("little_endian"), little, "s.");
  const keys = (...names: readonly string[]): Uint8Array => pickleBytes("\x80\x02](", ...names.map(textBytes), "e.");
  const head = pickleBytes(magic, version(), system());
  const data = pickleBytes(littleEndian(2, 8), floats(2));

  test("is read, also with a pickle longer than what is read at first", async () => {
    const filler = pickleBytes("(", textBytes("x".repeat(100_000)), small.subarray(0, -1), "t.");
    const checkpoint = await open(pickleBytes(head, filler, keys("0"), data));
    expect(checkpoint.format).toBe("pytorch-legacy");
    expect(Array.from(await checkpoint.readAsF32("1"))).toEqual([0, 1]);
  });
  test("finds tensors in a view of a storage", async () => {
    const view = pickleBytes("(", textBytes("v"), "K", 1, "K", 1, "t");
    const tensor = pickleBytes(
      "ctorch._utils\n_rebuild_tensor_v2\n(",
      storageBytes("FloatStorage", 2, view),
      "K",
      0,
      numbersBytes(1),
      numbersBytes(1),
      "\x89)tR.",
    );
    expect(Array.from(await (await open(pickleBytes(head, tensor, keys("0"), data))).readAsF32(""))).toEqual([1]);
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a pickle of something else", pickleBytes("\x80\x02}."), ForeignFileError, "not one of torch.save"],
    ["another version", pickleBytes(magic, version(1002)), ForeignFileError, "container version 1002"],
    ["big-endian data", pickleBytes(magic, version(), system("\x89")), ForeignFileError, "big-endian"],
    ["a damaged description", pickleBytes(magic, version(), "N."), CorruptFileError, "description of the machine"],
    ["an unknown storage", pickleBytes(head, small, keys("1"), data), CorruptFileError, "does not match"],
    ["a storage twice", pickleBytes(head, small, keys("0", "0"), data, data), CorruptFileError, "does not match"],
    ["no list of storages", pickleBytes(head, small, "N.", data), TruncatedFileError, 'storage "0" is missing'],
    [
      "a storage of another size",
      pickleBytes(head, small, keys("0"), littleEndian(3, 8), floats(3)),
      CorruptFileError,
      "has 3 elements",
    ],
    [
      "a storage that is cut off",
      pickleBytes(head, small, keys("0"), data.subarray(0, -1)),
      TruncatedFileError,
      "outside",
    ],
    ["nothing after the first pickle", magic, TruncatedFileError, "goes on beyond the end"],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(`refuses ${title}`, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
});
