import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { PickleTuple } from "../../../engine/files/pytorch/pickle_values.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { littleEndian, type PickleParts, pickleBytes, textBytes } from "./pickle_bytes.ts";

import { load, plain } from "./pickle_plain.ts";

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
