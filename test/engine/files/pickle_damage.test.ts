import { describe, expect, test } from "vitest";
import { CorruptFileError, TruncatedFileError } from "../../../engine/files/errors.ts";
import { NeedMoreBytes } from "../../../engine/files/pytorch/pickle_cursor.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { littleEndian, type PickleParts, pickleBytes, textBytes } from "./pickle_bytes.ts";

import { load } from "./pickle_plain.ts";

describe("damaged pickles give a typed error", () => {
  const cases: readonly (readonly [string, PickleParts, string])[] = [
    ["an unknown instruction", ["\xff"], "0xff at byte 0 is no instruction"],
    ["a text persistent id", ["Pabc\n"], "is no instruction"],
    ["a protocol of the future", ["\x80", 6], "protocol 6, known are 0 to 5"],
    ["an empty stack", [""], "a value is missing"],
    ["a tuple of too few", ["K", 1, "\x86"], "a value is missing"],
    ["a missing mark", ["K", 1, "t"], "a mark is missing"],
    ["popping nothing", ["0"], "a mark is missing"],
    ["a value that was never stored", ["h", 3], "value 3 is recalled but was never stored"],
    ["a memo index that is no number", ["Np-1\n"], '"-1" is not an index'],
    ["an integer that is none", ["I1x\n"], '"1x" is not an integer'],
    ["a float that is none", ["F--1\n"], '"--1" is not a float'],
    ["a string without quotes", ["Sabc\n"], '"abc" is not quoted text'],
    ["appending to a number", ["K", 1, "K", 2, "a"], "no list"],
    ["adding to a number", ["K", 1, "(K", 2, "\x90"], "no set"],
    ["setting keys in a number", ["K", 1, "K", 2, "K", 3, "s"], "no dictionary"],
    ["a key without a value", ["}(K", 1, "u"], "a key has no value"],
    ["calling a number", ["K", 1, ")R"], "not callable"],
    ["calling what may only be mentioned", ["ctorch\nFloatStorage\n)R"], "not callable"],
    ["calling with a list", ["ccollections\nOrderedDict\n]R"], "not callable"],
    ["calling with keywords", ["cargparse\nNamespace\n)}K", 1, "K", 2, "s\x92"], "keyword arguments"],
    ["keywords that are no dictionary", ["cargparse\nNamespace\n)N\x92"], "keyword arguments"],
    ["an object of nothing", ["(o"], "not callable"],
    ["a global named by a number", ["K", 1, "K", 2, "\x93"], "not named by text"],
    ["attributes of a number", ["K", 1, "}b"], "has none"],
    ["a persistent id that is no storage", ["K", 1, "Q"], "does not describe a storage"],
    ["a persistent id without a class", ["(", textBytes("storage"), "NNNNtQ"], "does not describe a storage"],
    [
      "a persistent id without a size",
      ["(", textBytes("storage"), "ctorch\nFloatStorage\n", textBytes("0"), "NNtQ"],
      "does not describe a storage",
    ],
    [
      "a persistent id without a key",
      ["(", textBytes("storage"), "ctorch\nFloatStorage\nNNK", 1, "tQ"],
      "does not describe a storage",
    ],
    ["a dictionary of a number", ["ccollections\nOrderedDict\nK", 1, "\x85R"], "expected a list or tuple"],
    ["bytes of a number", ["c_codecs\nencode\nK", 1, "\x85R"], "expected text for bytes"],
    ["a parameter without a tensor", ["ctorch._utils\n_rebuild_parameter\n(NNNtR"], "holds no tensor"],
    ["an object of no class", ["ccopyreg\n_reconstructor\nN\x85R"], "no known class"],
    ["an object of a class that is no record", ["ccopyreg\n_reconstructor\ncbuiltins\nset\n\x85R"], "no known class"],
    [
      "a typed tensor that is none",
      ["ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)tR"],
      "not built from a tensor",
    ],
    ["a typed tensor of nothing", ["ctorch._tensor\n_rebuild_from_type_v2\n)R"], "not built from a tensor"],
    ["a NumPy scalar of nothing", ["cnumpy.core.multiarray\nscalar\n)R"], "lacks its type or bytes"],
    [
      "a NumPy scalar without bytes",
      ["cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n", textBytes("f8"), "\x85R\x85R"],
      "lacks its type or bytes",
    ],
    [
      "a NumPy scalar of other size",
      ["cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n", textBytes("f8"), "\x85RC", 1, 0, "\x86R"],
      "type f8 in 1 bytes",
    ],
    ["text that is not UTF-8", ["X", 1, 0, 0, 0, 0xff], "not UTF-8"],
    ["an enormous integer", ["\x8b", 0, 0, 0, 1], "integer of 16777216 bytes"],
  ];
  for (const [title, parts, message] of cases) {
    test(title, () => {
      expect(() => load(...parts)).toThrow(CorruptFileError);
      expect(() => load(...parts)).toThrow(message);
    });
  }

  test("halves of surrogate pairs, as Python writes them, are replacement characters", () => {
    expect(load("X", 5, 0, 0, 0, 0x61, 0xed, 0xb3, 0xbf, 0x62)).toBe("a\ufffdb");
    expect(() => load("X", 3, 0, 0, 0, 0xed, 0xb3, 0x61)).toThrow("not UTF-8");
  });

  test("NumPy scalars of other types or byte order are records that nothing is made of", () => {
    const scalar = (code: string, ...state: string[]): unknown =>
      load(
        "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n",
        textBytes(code),
        "\x85R",
        ...state,
        "C",
        8,
        "12345678\x86R",
      );
    const inert = { "numpy.core.multiarray.scalar": null };
    expect(scalar("M8")).toMatchObject(inert);
    expect(scalar("f8", "(K\x03X\x01\x00\x00\x00>tb")).toMatchObject(inert);
    expect(load("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nN\x85RC", 1, 0, "\x86R")).toMatchObject(inert);
  });

  test("bytes as Python 2 wrote them are text, of a scalar its bytes", () => {
    expect(load("U", 2, 0xe9, 0x80)).toBe("\xe9\x80");
    expect(load("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n", textBytes("u1"), "\x85RU", 1, 0xe9, "\x86R")).toBe(
      0xe9,
    );
  });

  test("a pickle that ends early is truncated", () => {
    expect(() => unpickle(pickleBytes("K"))).toThrow(TruncatedFileError);
    expect(() => unpickle(pickleBytes("cos"))).toThrow(TruncatedFileError);
    expect(() => unpickle(pickleBytes("B", 255, 255, 255, 255, "abc"))).toThrow(TruncatedFileError);
    expect(() => unpickle(pickleBytes("\x8e", littleEndian(2 ** 50, 8)))).toThrow(TruncatedFileError);
  });

  test("a pickle that ends before the file asks for more", () => {
    expect(() => unpickle(pickleBytes("K"), 2)).toThrow(NeedMoreBytes);
    expect(() => unpickle(pickleBytes("cos"), 100)).toThrow(NeedMoreBytes);
  });

  test("a line without end is refused before it is read to the end", () => {
    expect(() => unpickle(pickleBytes("I", "1".repeat(70_000), "\n."))).toThrow("line of more than 65536 bytes");
  });

  test("more values than any checkpoint has are refused", () => {
    expect(() => unpickle(pickleBytes("(", new Uint8Array(2 ** 22).fill(0x4e), "t."))).toThrow(
      "more than 4194304 values",
    );
  });

  test("copies of a large container count like values", () => {
    const many = pickleBytes("](", new Uint8Array(2 ** 16).fill(0x4e), "eq", 0, "0");
    const copy = pickleBytes("cbuiltins\nset\nh", 0, "\x85R0");
    const copies = Array.from({ length: 70 }, () => copy);
    expect(() => unpickle(pickleBytes(many, ...copies, "N."))).toThrow("more than 4194304 values");
  });
});
