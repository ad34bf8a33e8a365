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
  test("shows objects of unknown classes by their content, else by what they were made from", () => {
    expect(leaves("cpathlib\nPosixPath\n(", textBytes("runs"), textBytes("x"), "tR")).toEqual({ 0: "runs", 1: "x" });
    expect(leaves("cpkg\nD\n)R", textBytes("a"), "K\x01s}", textBytes("b"), "K\x02sb")).toEqual({
      a: 1,
      "attributes.b": 2,
    });
    expect(leaves("cpkg\nL\n)RK\x05a")).toEqual({ 0: 5 });
    expect(leaves("cpkg\nA\n)Rcpkg\nB\nK\x01\x85Rb")).toEqual({ "0/0": 1 });
  });
  test("numbers keys that look alike, and names keys that are objects", () => {
    expect(leaves("}(K\x01K\x02", textBytes("1"), "K\x03u")).toEqual({ 1: 2, "1 #2": 3 });
    expect(leaves("}(cpkg\nA\n)RK\x02cpkg\nB\nK\x03C\x01aK\x04(\x91K\x05u")).toEqual({
      "<pkg.A>": 2,
      "pkg.B": 3,
      "<bytes>": 4,
      "<set>": 5,
    });
    expect(leaves("}ctorch._utils\n_rebuild_qtensor\n)RK\x05s")).toEqual({ "<tensor>": 5 });
  });
  test("lists an object of an unknown class once, so that objects may refer to each other", () => {
    expect(leaves("cpkg\nA\n)Rq\0}(", textBytes("self"), "h\0", textBytes("a"), "K\x01ub")).toEqual({ a: 1 });
    expect(leaves("cpkg\nA\n)Rq\0h\0b")).toEqual({});
    expect(() => leaves("cargparse\nNamespace\n)Rq\0h\0b")).toThrow("nested too deeply");
  });
  const treeOf = (...parts: PickleParts) => leavesOf(unpickle(pickleBytes(...parts, ".")).value);
  const tensor = pickleBytes(
    "ctorch._utils\n_rebuild_tensor_v2\n(",
    storageBytes("FloatStorage", 4),
    "K\0K\x04\x85K\x01\x85\x89NtR",
  );
  test("names what is no readable tensor, and tensors that were handed to an unknown function", () => {
    const { tensors, unreadable } = treeOf(
      "}(",
      ...[textBytes("given"), "cpkg\nscale\n", tensor, "\x85R"],
      ...[textBytes("sparse"), "ctorch._utils\n_rebuild_sparse_tensor\n)R"],
      "u",
    );
    expect([...tensors.keys()]).toEqual([]);
    expect(Object.fromEntries(unreadable)).toEqual({
      given: "an object of pkg.scale",
      "given/0": "handed to pkg.scale, which is not run",
      sparse: "made by torch._utils._rebuild_sparse_tensor",
    });
    const data = treeOf("}", textBytes("data"), storageBytes("QInt8Storage", 4), "s");
    expect(Object.fromEntries(data.unreadable)).toEqual({ data: "data of torch.QInt8Storage" });
  });
  test("names the parts of a whole module as its state dictionary does", () => {
    const dict = (...entries: PickleParts): Uint8Array => pickleBytes("}(", ...entries, "u");
    const module = (...state: PickleParts): Uint8Array => pickleBytes("cpkg\nNet\n)\x81", dict(...state), "b");
    const inner = module(
      ...[textBytes("_parameters"), dict(textBytes("weight"), tensor, textBytes("bias"), "N")],
      ...[textBytes("_buffers"), dict(textBytes("kept"), tensor, textBytes("mask"), tensor)],
      ...[textBytes("_non_persistent_buffers_set"), pickleBytes("(", textBytes("mask"), "\x91")],
      ...[textBytes("_modules"), "}", textBytes("num_heads"), "K\x03", textBytes("act"), "]"],
    );
    const outer = module(textBytes("_parameters"), "}", textBytes("_modules"), dict(textBytes("proj"), inner));
    const root = pickleBytes(
      "}",
      textBytes("model"),
      module(textBytes("_parameters"), "}", textBytes("_modules"), dict(textBytes("embed"), outer)),
      "s",
    );
    const found = treeOf(root);
    expect([...found.tensors.keys()]).toEqual(["model/embed.proj.weight", "model/embed.proj.kept"]);
    expect(Object.fromEntries(found.plainValues)).toEqual({ "model/embed.proj.num_heads": 3 });
    expect(found.unreadable.size).toBe(0);
  });
  test("names the parts of an archive of TorchScript as its state dictionary does", () => {
    const layer = pickleBytes("c__torch__.nn\nLinear\n)\x81}", textBytes("weight"), tensor, "sb");
    const found = treeOf("c__torch__\nVit\n)\x81}(", textBytes("training"), "\x88", textBytes("proj"), layer, "ub");
    expect([...found.tensors.keys()]).toEqual(["proj.weight"]);
  });
});
