import { describe, expect, test } from "vitest";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { open, safetensors } from "./file_bytes.ts";
import { littleEndian, pickleBytes } from "./pickle_bytes.ts";

describe("safetensors headers are checked before anything is read", () => {
  const tensor = (shape: unknown, data_offsets: unknown, dtype: unknown = "F32"): unknown => ({
    a: { dtype, shape, data_offsets },
  });
  test("metadata that are null are none", async () => {
    expect((await open(safetensors({ __metadata__: null }))).metadata.size).toBe(0);
  });
  test("a header whose length looks like a brace is not taken for JSON", async () => {
    const json = "{}".padEnd(0x7b);
    expect((await open(pickleBytes(littleEndian(0x7b, 8), json))).format).toBe("safetensors");
  });
  test("tensors of types that are not read leave the others readable, and say so themselves", async () => {
    const header = {
      a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
      scale: { dtype: "F8_E4M3", shape: [4], data_offsets: [4, 8] },
      freqs: { dtype: "C64", shape: [], data_offsets: [8, 16] },
      packed: { dtype: "F4", shape: [2, 3], data_offsets: [16, 19] },
    };
    const file = await open(safetensors(header, 19));
    expect([...file.tensors.keys()]).toEqual(["a"]);
    expect(Object.fromEntries(file.unreadable)).toEqual({
      scale: "a tensor of F8_E4M3",
      freqs: "a tensor of C64",
      packed: "a tensor of F4",
    });
    expect(() => file.readAsF32("scale")).toThrow('"scale" is a tensor of F8_E4M3; convert it');
    const short = safetensors({ packed: { dtype: "F4", shape: [2, 3], data_offsets: [0, 2] } }, 2);
    await expect(open(short)).rejects.toThrow("does not fit its offsets");
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a length beyond every file", pickleBytes(littleEndian(2 ** 60, 8), "{}"), CorruptFileError, "at most 100000000"],
    ["a length beyond this file", pickleBytes(littleEndian(1000, 8), "{}"), TruncatedFileError, "outside the 10 bytes"],
    [
      "a tensor that is named twice",
      safetensors(
        '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
      ),
      CorruptFileError,
      "names a tensor twice",
    ],
    ["text that is no JSON", safetensors('{"a'), CorruptFileError, "is not JSON"],
    ["text that is no UTF-8", pickleBytes(littleEndian(3, 8), '{"', 0xff), CorruptFileError, "is not JSON"],
    ["metadata that is no object", safetensors({ __metadata__: [] }), CorruptFileError, "not an object"],
    ["metadata that is no text", safetensors({ __metadata__: { a: 1 } }), CorruptFileError, '"a" is not text'],
    ["a tensor that is no object", safetensors({ a: 1 }), CorruptFileError, "not described by an object"],
    ["a tensor without dtype", safetensors(tensor([1], [0, 4], 7), 4), CorruptFileError, "has no dtype"],
    ["an unknown dtype", safetensors(tensor([1], [0, 1], "F99"), 1), ForeignFileError, '"F99", supported are F64'],
    ["a shape that is no list", safetensors(tensor("1", [0, 4]), 4), CorruptFileError, "lacks shape"],
    ["offsets that are no numbers", safetensors(tensor([1], ["0", 4]), 4), CorruptFileError, "lacks shape"],
    ["a negative axis", safetensors(tensor([-1], [0, 4]), 4), CorruptFileError, "does not fit"],
    ["a broken axis", safetensors(tensor([0.5], [0, 2]), 2), CorruptFileError, "does not fit"],
    [
      "axes whose product overflows",
      safetensors(tensor([2 ** 40, 2 ** 40], [0, 4]), 4),
      CorruptFileError,
      "does not fit",
    ],
    ["offsets in reverse", safetensors(tensor([1], [4, 0]), 4), CorruptFileError, "does not fit"],
    ["one offset", safetensors(tensor([1], [0]), 4), CorruptFileError, "does not fit"],
    ["negative offsets", safetensors(tensor([1], [-4, 0]), 4), CorruptFileError, "does not fit"],
    ["a gap", safetensors(tensor([1], [4, 8]), 8), CorruptFileError, "has a gap"],
    [
      "an overlap",
      safetensors(
        { a: { dtype: "U8", shape: [4], data_offsets: [0, 4] }, b: { dtype: "U8", shape: [4], data_offsets: [2, 6] } },
        6,
      ),
      CorruptFileError,
      "overlaps at byte 2",
    ],
    ["too little data", safetensors(tensor([2], [0, 8]), 7), TruncatedFileError, "8 bytes of tensor data declared, 7"],
    ["too much data", safetensors(tensor([1], [0, 4]), 5), CorruptFileError, "1 bytes follow"],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(title, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
  test("a list instead of an object is not taken for safetensors", async () => {
    await expect(open(safetensors("[]"))).rejects.toThrow(ForeignFileError);
  });
});
