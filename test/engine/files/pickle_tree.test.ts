import { describe, expect, test } from "vitest";
import { leavesOf } from "../../../engine/files/pytorch/pickle_tree.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { type PickleParts, pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

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
