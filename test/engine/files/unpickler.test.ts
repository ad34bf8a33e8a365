import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  CorruptFileError,
  ForbiddenGlobalError,
  ForeignFileError,
  TruncatedFileError,
} from "../../../engine/files/errors.ts";
import { NeedMoreBytes } from "../../../engine/files/pickle_cursor.ts";
import { leavesOf } from "../../../engine/files/pickle_tree.ts";
import {
  PickleDict,
  PickleList,
  PickleRecord,
  PickleSet,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "../../../engine/files/pickle_values.ts";
import { unpickle } from "../../../engine/files/unpickler.ts";
import { littleEndian, numbersBytes, type PickleParts, pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

/** A value in plain terms, so that trees can be compared. */
function plain(value: PickleValue): unknown {
  if (value instanceof PickleDict) return Object.fromEntries([...value.entries].map(([k, v]) => [String(k), plain(v)]));
  if (value instanceof PickleList) return value.items.map(plain);
  if (value instanceof PickleTuple) return { tuple: value.items.map(plain) };
  if (value instanceof PickleSet) return { set: value.items.map(plain) };
  if (value instanceof PickleRecord) return { [value.global]: plain(value.state), args: value.args.map(plain) };
  return value;
}

function load(...parts: PickleParts): unknown {
  return plain(unpickle(pickleBytes(...parts, ".")).value);
}

const python: { pickles: string[] } = JSON.parse(
  readFileSync(new URL("../../fixtures/checkpoints/python_pickles.json", import.meta.url), "utf8"),
);

describe("pickles written by Python", () => {
  for (const [protocol, base64] of python.pickles.entries()) {
    test(`protocol ${protocol} yields the same values as all others`, () => {
      const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
      const { value, length } = unpickle(bytes);
      expect(length).toBe(bytes.length);
      const { simple, namespace, shared, ...rest } = Object(plain(value));
      expect(rest).toEqual({
        none: null,
        true: true,
        false: false,
        byte: 7,
        short: 300,
        int: -70000,
        long: 2 ** 40,
        huge: -(2n ** 70n),
        float: 1.5,
        inf: Number.POSITIVE_INFINITY,
        ninf: Number.NEGATIVE_INFINITY,
        text: "a\\b\né你😀",
        bytes: Uint8Array.of(0, 255, 128),
        bytearray: Uint8Array.of(97, 98),
        list: [1, [2], []],
        tuple: { tuple: [1] },
        pair: { tuple: [1, 2] },
        triple: { tuple: [1, 2, 3] },
        four: { tuple: [1, 2, 3, 4] },
        empty: { tuple: [] },
        set: { set: [3] },
        frozenset: { set: [4] },
        ordered: { x: 1, y: 2 },
        counter: { k: 2 },
        5: "five",
        np: [0.25, 0.5, 2n ** 60n, true, 1.5, -3],
      });
      expect(namespace["argparse.Namespace"]).toEqual({ lr: 0.5, name: "n" });
      expect(simple["types.SimpleNamespace"]).toEqual({ a: 1 });
      expect(shared).toEqual([["same"], ["same"]]);
    });
  }

  test("a value that is recalled is one object, not a copy", () => {
    const root = unpickle(pickleBytes("(]q", 0, "h", 0, "t.")).value;
    expect(root instanceof PickleTuple && root.items[0] === root.items[1]).toBe(true);
  });
});

describe("instructions that old or rare writers use", () => {
  const cases: readonly (readonly [string, PickleParts, unknown])[] = [
    ["booleans as text", ["(I01\nI00\nt"], { tuple: [true, false] }],
    ["integers as text", ["(I-12\nL34L\nL56\nt"], { tuple: [-12, 34, 56] }],
    ["floats as text", ["(F1.25\nF-3e-05\nF2.\nFnan\nF-inf\nt"], { tuple: [1.25, -3e-5, 2, Number.NaN, -Infinity] }],
    ["quoted strings", ["(S'a\\'b\\n\\x41\\q'\nS\"c\\t\\r\\\\\"\nt"], { tuple: ["a'b\nAq", "c\t\r\\"] }],
    ["counted strings", ["(U", 1, "aT", 1, 0, 0, 0, "bt"], { tuple: ["a", "b"] }],
    [
      "long byte strings",
      ["(B", 1, 0, 0, 0, "a\x8e", littleEndian(1, 8), "bt"],
      { tuple: [Uint8Array.of(97), Uint8Array.of(98)] },
    ],
    ["text with 64-bit length", ["\x8d", littleEndian(2, 8), "hi"], "hi"],
    ["escaped text", ["V\\u0041\\U0001F600\n"], "A😀"],
    ["an empty long", ["\x8a", 0], 0],
    ["a long with 32-bit length", ["\x8b", 2, 0, 0, 0, 0xfe, 0xff], -2],
    ["popping a value and a mark", ["K", 1, "K", 2, "0(0"], 1],
    ["popping up to a mark", ["K", 1, "(K", 2, "K", 3, "1"], 1],
    ["duplicating", ["(K", 1, "2t"], { tuple: [1, 1] }],
    [
      "32-bit memo indices",
      ["(K", 1, "r", littleEndian(70000, 4), "j", littleEndian(70000, 4), "t"],
      { tuple: [1, 1] },
    ],
    ["text memo indices", ["(K", 1, "p5\ng5\nt"], { tuple: [1, 1] }],
    ["lists and dicts from a mark", ["(lp0\n0(K", 1, "K", 2, "d"], { 1: 2 }],
    ["instances by name", ["(iargparse\nNamespace\n"], { "argparse.Namespace": null, args: [] }],
    ["instances by class", ["(cargparse\nNamespace\no"], { "argparse.Namespace": null, args: [] }],
    ["objects with empty keywords", ["cargparse\nNamespace\n)}\x92"], { "argparse.Namespace": null, args: [] }],
    [
      "objects of protocol 1",
      ["ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR"],
      { "argparse.Namespace": null, args: [] },
    ],
    ["bytes of nothing", ["c__builtin__\nbytes\n)R"], new Uint8Array(0)],
    ["a byte array of bytes", ["cbuiltins\nbytearray\nC", 1, 7, "\x85R"], Uint8Array.of(7)],
    ["a set of nothing", ["cbuiltins\nset\n)R"], { set: [] }],
    ["a set of a tuple", ["cbuiltins\nset\nK", 1, "\x85\x85R"], { set: [1] }],
    ["a set of a set", ["cbuiltins\nfrozenset\n\x8f(K", 1, "\x90\x85R"], { set: [1] }],
    ["a size", ["ctorch\nSize\n(K", 2, "K", 3, "t\x85R"], { tuple: [2, 3] }],
    ["a device", ["ctorch\ndevice\n", textBytes("cuda:0"), "\x85R"], { "torch.device": null, args: ["cuda:0"] }],
    ["attributes of a dictionary are dropped", ["}}b"], {}],
  ];
  for (const [title, parts, expected] of cases) {
    test(title, () => expect(load(...parts)).toEqual(expected));
  }

  test("a dictionary is built from pairs", () => {
    const pair = (key: number, value: number): Uint8Array => pickleBytes("K", key, "K", value, "\x86");
    expect(load("ccollections\nOrderedDict\n](", pair(1, 2), pair(3, 4), "e\x85R")).toEqual({ 1: 2, 3: 4 });
  });

  test("bytes after the pickle are ignored, and its length is told", () => {
    expect(unpickle(pickleBytes("K", 1, ".xyz")).length).toBe(3);
  });
});

const shape23 = [numbersBytes(2, 3), numbersBytes(3, 1)] as const;
function tensorBytes(storage: Uint8Array, offset: number, ...rest: readonly (string | Uint8Array)[]): Uint8Array {
  return pickleBytes("ctorch._utils\n_rebuild_tensor_v2\n(", storage, "K", offset, ...rest, "tR");
}

describe("tensors", () => {
  test("keep storage, offset, shape and strides", () => {
    const { value, storages } = unpickle(pickleBytes(tensorBytes(storageBytes("HalfStorage", 8), 2, ...shape23), "."));
    expect(value).toMatchObject({ dtype: "f16", offset: 2, shape: [2, 3], strides: [3, 1] });
    expect(storages.get("0")).toMatchObject({ dtype: "f16", rootSize: 8, size: 8 });
  });

  test("of the oldest form are read", () => {
    const bytes = pickleBytes(
      "ctorch._utils\n_rebuild_tensor\n(",
      storageBytes("LongStorage", 6),
      "K",
      0,
      ...shape23,
      "tR.",
    );
    expect(unpickle(bytes).value).toMatchObject({ dtype: "i64", shape: [2, 3] });
  });

  test("over untyped storage carry their own type", () => {
    const storage = pickleBytes(
      "(",
      textBytes("storage"),
      "ctorch.storage\nUntypedStorage\n",
      textBytes("0"),
      textBytes("cpu"),
      "K",
      12,
      "tQ",
    );
    const v3 = (type: string): Uint8Array =>
      pickleBytes("ctorch._utils\n_rebuild_tensor_v3\n(", storage, "K", 0, ...shape23, "\x89N", type, "tR.");
    expect(unpickle(v3("ctorch\nuint16\n")).value).toMatchObject({ dtype: "u16" });
    expect(() => unpickle(v3("ctorch\nuint32\n"))).toThrow("reaches beyond its 3 elements");
    expect(() => unpickle(v3("N"))).toThrow("lacks a valid storage");
  });

  test("inside parameters and typed wrappers come out plain", () => {
    const tensor = tensorBytes(storageBytes("FloatStorage", 6), 0, ...shape23);
    const parameter = pickleBytes("ctorch._utils\n_rebuild_parameter\n(", tensor, "\x88N", "tR.");
    expect(unpickle(parameter).value).toBeInstanceOf(PickleTensor);
    const wrapped = pickleBytes(
      "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch.nn.parameter\nParameter\n(",
      storageBytes("FloatStorage", 6),
      "K",
      0,
      ...shape23,
      "t}tR.",
    );
    expect(unpickle(wrapped).value).toBeInstanceOf(PickleTensor);
  });

  test("over a view of a storage stay within the view", () => {
    const view = (start: number, size: number): Uint8Array =>
      pickleBytes("(", textBytes("v"), "K", start, "K", size, "t");
    const bytes = (start: number, size: number): Uint8Array =>
      pickleBytes(tensorBytes(storageBytes("FloatStorage", 10, view(start, size)), 0, ...shape23), ".");
    expect(unpickle(bytes(4, 6)).value).toMatchObject({ storage: { start: 4, size: 6, rootSize: 10 } });
    expect(() => unpickle(bytes(4, 5))).toThrow("reaches beyond its 5 elements");
    expect(() => unpickle(bytes(5, 6))).toThrow("leaves its 10 elements");
    const noView = pickleBytes(tensorBytes(storageBytes("FloatStorage", 10, pickleBytes("K", 1)), 0, ...shape23), ".");
    expect(() => unpickle(noView)).toThrow("leaves its 10 elements");
  });

  const refused: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "beyond the storage",
      tensorBytes(storageBytes("FloatStorage", 5), 0, ...shape23),
      "reaches beyond its 5 elements",
    ],
    [
      "beyond the storage by their offset",
      tensorBytes(storageBytes("FloatStorage", 6), 1, ...shape23),
      "reaches beyond",
    ],
    [
      "with negative strides",
      tensorBytes(storageBytes("FloatStorage", 6), 0, numbersBytes(2), numbersBytes(0xffffffff)),
      "lacks a valid",
    ],
    [
      "with fewer strides than axes",
      tensorBytes(storageBytes("FloatStorage", 6), 0, numbersBytes(2), numbersBytes()),
      "lacks a valid",
    ],
    ["without a shape", tensorBytes(storageBytes("FloatStorage", 6), 0, "N", "N"), "lacks a valid"],
    ["without a storage", tensorBytes(pickleBytes("N"), 0, ...shape23), "lacks a valid"],
    [
      "with an offset that is no number",
      tensorBytes(pickleBytes(storageBytes("FloatStorage", 6), "N0N"), 0, ...shape23),
      "lacks a valid",
    ],
    [
      "that repeat few elements without end",
      tensorBytes(storageBytes("FloatStorage", 1), 0, numbersBytes(2 ** 30), numbersBytes(0)),
      "repeats 1 elements to 1073741824",
    ],
    [
      "with more elements than numbers can count",
      tensorBytes(storageBytes("FloatStorage", 1), 0, numbersBytes(2 ** 30, 2 ** 30), numbersBytes(0, 0)),
      "reaches beyond",
    ],
  ];
  for (const [title, bytes, message] of refused) {
    test(`${title} are refused`, () => expect(() => unpickle(pickleBytes(bytes, "."))).toThrow(message));
  }

  test("of one storage must agree on what it holds", () => {
    const bytes = pickleBytes("(", storageBytes("FloatStorage", 6), storageBytes("FloatStorage", 7), "t.");
    expect(() => unpickle(bytes)).toThrow('storage "0" is described in two ways');
    const types = pickleBytes("(", storageBytes("FloatStorage", 6), storageBytes("IntStorage", 6), "t.");
    expect(() => unpickle(types)).toThrow("described in two ways");
  });
});

describe("everything that is not data is refused by name", () => {
  const globals = [
    "os.system",
    "builtins.eval",
    "builtins.getattr",
    "torch.load",
    "torch.ComplexFloatStorage",
    "torch._utils._rebuild_qtensor",
    "numpy.core.multiarray._reconstruct",
    "__main__.Model",
    "argparse.ArgumentParser",
  ];
  for (const full of globals) {
    const [module, name] = [full.slice(0, full.lastIndexOf(".")), full.slice(full.lastIndexOf(".") + 1)];
    test(full, () => {
      for (const bytes of [
        pickleBytes(`c${module}\n${name}\n.`),
        pickleBytes("\x8c", module.length, module, "\x8c", name.length, name, "\x93."),
        pickleBytes(`(i${module}\n${name}\n.`),
      ]) {
        expect(() => unpickle(bytes)).toThrow(ForbiddenGlobalError);
        expect(() => unpickle(bytes)).toThrow(`asks for "${full}"`);
      }
    });
  }

  test("codes of the extension registry", () => {
    expect(() => load("\x82", 1)).toThrow('"extension 1"');
    expect(() => load("\x83", 1, 1)).toThrow('"extension 257"');
    expect(() => load("\x84", 1, 0, 0, 0)).toThrow('"extension 1"');
  });

  test("a storage of a class that is none", () => {
    expect(() => load(storageBytes("device", 1))).toThrow(ForbiddenGlobalError);
  });

  test("names from the prototype of objects", () => {
    expect(() => load("cconstructor\nconstructor\n")).toThrow(ForbiddenGlobalError);
    expect(() => load("c__proto__\n__proto__\n")).toThrow(ForbiddenGlobalError);
  });
});

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

  test("NumPy scalars of other types or byte order are foreign", () => {
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
    expect(() => scalar("M8")).toThrow(ForeignFileError);
    expect(() => scalar("f8", "(K\x03X\x01\x00\x00\x00>tb")).toThrow(ForeignFileError);
    expect(() => load("cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nN\x85RC", 1, 0, "\x86R")).toThrow(
      ForeignFileError,
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

describe("the tree of leaves", () => {
  const leaves = (...parts: PickleParts): Record<string, unknown> =>
    Object.fromEntries(leavesOf(unpickle(pickleBytes(...parts, ".")).value).plainValues);

  test("joins keys and positions by slashes", () => {
    expect(leaves("}(K", 1, "]K", 2, "a", textBytes("a"), "(K", 3, "}tNN\x88\x89u")).toEqual({
      "1/0": 2,
      "a/0": 3,
      "a/1": {},
      null: null,
      true: false,
    });
  });
  test("names keys that are tuples", () => {
    expect(leaves("}K", 1, "]\x86K", 5, "s")).toEqual({ "(1, …)": 5 });
  });
  test("gives a bare value the empty path", () => expect(leaves("K", 1)).toEqual({ "": 1 }));
  test("shows records by their attributes, or by what they were made from", () => {
    expect(leaves("cargparse\nNamespace\n)\x81}", textBytes("lr"), "K", 1, "sb")).toEqual({ lr: 1 });
    expect(leaves("ctorch\ndevice\n", textBytes("cpu"), "\x85R")).toEqual({ "0": "cpu" });
    expect(leaves("cargparse\nNamespace\n)\x81")).toEqual({ "": {} });
  });
  test("shows empty sets and tuples as empty lists, types by name", () => {
    expect(leaves("(\x8f)ctorch\nfloat16\nt")).toEqual({ "0": [], "1": [], "2": "torch.float16" });
  });
  test("shows a bare storage as a tensor", () => {
    const { tensors } = leavesOf(unpickle(pickleBytes(storageBytes("FloatStorage", 4), ".")).value);
    expect(tensors.get("")).toMatchObject({ dtype: "f32", shape: [4], strides: [1] });
    const untyped = pickleBytes(
      "(",
      textBytes("storage"),
      "ctorch.storage\nUntypedStorage\n",
      textBytes("0"),
      "NK",
      4,
      "tQ.",
    );
    expect(leavesOf(unpickle(untyped).value).tensors.get("")).toMatchObject({ dtype: "u8", shape: [4] });
  });
  test("refuses keys that are containers", () => expect(() => leaves("}]NNs0", "s")).toThrow());
  test("refuses a dictionary as a key", () => expect(() => leaves("}}K", 1, "s")).toThrow("neither text nor a number"));
  test("refuses a path that stands for two values", () => {
    expect(() => leaves("}(", textBytes("a/b"), "K", 1, textBytes("a"), "}", textBytes("b"), "K", 2, "su")).toThrow(
      '"a/b" stands for two values',
    );
  });
  test("refuses a list that holds itself", () =>
    expect(() => leaves("]q", 0, "h", 0, "a")).toThrow("nested too deeply"));
  test("refuses a few bytes that describe a billion leaves", () => {
    const levels = Array.from({ length: 9 }, (_, i) =>
      pickleBytes("](", ...Array(10).fill(pickleBytes("h", i)), "eq", i + 1),
    );
    expect(() => leaves("]q", 0, ...levels)).toThrow("nested too deeply");
  });
});
