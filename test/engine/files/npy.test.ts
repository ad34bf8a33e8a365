import { describe, expect, test } from "vitest";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { open } from "./file_bytes.ts";
import { littleEndian, pickleBytes } from "./pickle_bytes.ts";

describe(".npy headers are checked before anything is read", () => {
  const npy = (dictionary: string, dataBytes: number, version = 1): Uint8Array =>
    pickleBytes(
      "\x93NUMPY",
      version,
      0,
      littleEndian(dictionary.length, version === 1 ? 2 : 4),
      dictionary,
      new Uint8Array(dataBytes),
    );
  const dictionary = (descr = "<f4", shape = "2,"): string =>
    `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }\n`;

  test("versions 1 to 3 are read", async () => {
    for (const version of [1, 2, 3])
      expect((await open(npy(dictionary(), 8, version))).tensors.get("")?.shape).toEqual([2]);
  });
  test("lengths of Python 2 and any order of one-byte elements are read", async () => {
    expect((await open(npy(dictionary("<f4", "2L, 3L"), 24))).tensors.get("")?.shape).toEqual([2, 3]);
    for (const code of ["|u1", "<u1", ">u1", "=u1", "|b1", "<b1"])
      expect((await open(npy(dictionary(code, "4,"), 4))).tensors.get("")?.shape).toEqual([4]);
    expect((await open(npy(dictionary("=f4"), 8))).tensors.get("")?.dtype).toBe("f32");
    await expect(open(npy(dictionary("<f4", "2LL,"), 8))).rejects.toThrow("shape (2LL,)");
  });
  const cases: readonly (readonly [string, Uint8Array, new (message: string) => Error, string])[] = [
    ["a file that ends in the header", pickleBytes("\x93NUMPY", 1), TruncatedFileError, "cut off"],
    ["version 4", npy(dictionary(), 8, 4), ForeignFileError, "version 4"],
    ["a long header", npy(dictionary() + " ".repeat(20_000), 8), CorruptFileError, "header of 200"],
    [
      "structured elements",
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4),
      ForeignFileError,
      "plain array",
    ],
    ["big-endian elements", npy(dictionary(">f4"), 8), ForeignFileError, '">f4", supported are'],
    ["Python objects", npy(dictionary("|O"), 8), ForeignFileError, '"|O"'],
    ["too little data", npy(dictionary(), 7), TruncatedFileError, "needs 8 bytes, 7"],
    ["too much data", npy(dictionary(), 9), CorruptFileError, "1 bytes follow"],
    [
      "an enormous shape",
      npy(dictionary("<f4", "99999999999, 99999999999"), 8),
      TruncatedFileError,
      "needs Infinity bytes",
    ],
  ];
  for (const [title, bytes, type, message] of cases) {
    test(title, async () => {
      await expect(open(bytes)).rejects.toThrow(type);
      await expect(open(bytes)).rejects.toThrow(message);
    });
  }
});
