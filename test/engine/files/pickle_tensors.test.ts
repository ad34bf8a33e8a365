import { describe, expect, test } from "vitest";
import { PickleOpaque, PickleTensor } from "../../../engine/files/pytorch/pickle_values.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { numbersBytes, pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

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

  const marked = (storage: string, marks: string | Uint8Array): unknown =>
    unpickle(
      pickleBytes(
        "ctorch._utils\n_rebuild_tensor_v2\n(",
        storageBytes(storage, 6),
        "K",
        0,
        ...shape23,
        "\x89N",
        marks,
        "tR.",
      ),
    ).value;

  test("that are marked as negated say so, and with other marks cannot be read", () => {
    const mark = (name: string, value: string): Uint8Array => pickleBytes("}", textBytes(name), value, "s");
    expect(marked("FloatStorage", mark("neg", "\x88"))).toMatchObject({ isNegated: true });
    expect(marked("FloatStorage", mark("neg", "\x89"))).toMatchObject({ isNegated: false });
    expect(marked("FloatStorage", "N")).toMatchObject({ isNegated: false });
    expect(marked("FloatStorage", mark("conj", "\x88"))).toMatchObject({ reason: "a tensor with the mark conj" });
    expect(marked("LongStorage", mark("neg", "\x88"))).toMatchObject({
      reason: "a tensor of i64 that is marked as negated",
    });
    expect(marked("FloatStorage", "]")).toBeInstanceOf(PickleOpaque);
  });

  test("of other elements are named and never read", () => {
    expect(marked("ComplexFloatStorage", "N")).toMatchObject({ reason: "a tensor of torch.ComplexFloatStorage" });
    expect(marked("UnheardOfStorage", "N")).toBeInstanceOf(PickleOpaque);
    const float8 = pickleBytes(
      "ctorch._utils\n_rebuild_tensor_v3\n((",
      textBytes("storage"),
      "ctorch.storage\nUntypedStorage\n",
      textBytes("0"),
      "NK\x06tQK\0",
      ...shape23,
      "\x89Nctorch\nfloat8_e4m3fn\ntR",
    );
    expect(unpickle(pickleBytes(float8, ".")).value).toMatchObject({ reason: "a tensor of torch.float8_e4m3fn" });
    expect(unpickle(pickleBytes("ctorch._utils\n_rebuild_parameter\n(", float8, "\x88NtR}b.")).value).toBeInstanceOf(
      PickleOpaque,
    );
    const made = pickleBytes("ctorch._utils\n_rebuild_parameter\n(cpkg\nmake\n)R\x88NtR.");
    expect(unpickle(made).value).toMatchObject({ reason: "made by pkg.make" });
    const typed = pickleBytes(
      "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_qtensor\ncpkg\nT\n)}tR.",
    );
    expect(unpickle(typed).value).toMatchObject({ reason: "made by torch._utils._rebuild_qtensor" });
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
