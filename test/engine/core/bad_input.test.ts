import { d, tgpu } from "typegpu";
import { expect, it } from "vitest";
import { defineKernel } from "../../../engine/core/kernel.ts";
import {
  AxisError,
  add,
  concat,
  crossEntropy,
  DeviceMixError,
  DTypeError,
  gather,
  gelu,
  IndexError,
  layerNorm,
  MissingFeatureError,
  matmul,
  NoAdapterError,
  NonFiniteError,
  OptionError,
  OverLimitError,
  openDevice,
  ProgramMixError,
  permute,
  RankError,
  ReusedTensorError,
  recordProgram,
  reshape,
  ShapeError,
  softmax,
  sum,
  type Tensor,
  ValidationError,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const zeros = (...shape: number[]): Tensor => device.zeros(shape);

it.each([
  ["matmul of inner lengths that differ", () => matmul(zeros(2, 3), zeros(4, 5)), ShapeError, /matmul: .*3.*4/s],
  ["matmul of a vector", () => matmul(zeros(3), zeros(3, 2)), RankError, /matmul/],
  ["shapes that do not broadcast", () => add(zeros(2, 3), zeros(2, 4)), ShapeError, /add/],
  [
    "layer norm weights of another width",
    () => layerNorm(zeros(2, 8), { weight: zeros(4) }),
    ShapeError,
    /weight.*\[4\]/,
  ],
  ["integers in gelu", () => gelu(device.zeros([4], "u32")), DTypeError, /gelu: x is u32, expected f32/],
  ["float targets", () => crossEntropy(zeros(2, 3), zeros(2)), DTypeError, /crossEntropy.*targets is f32/],
  ["an axis outside", () => sum(zeros(2, 3), { axes: [2] }), AxisError, /axis 2 is outside -2 … 1/],
  ["an axis named twice", () => permute(zeros(2, 3), [0, 0]), AxisError, /permute/],
  ["concat of shapes that do not fit", () => concat([zeros(2, 3), zeros(2, 4)], 0), ShapeError, /concat/],
  ["reshape to another number of elements", () => reshape(zeros(2, 3), [7]), ShapeError, /reshape: \[2, 3\] has 6/],
  ["an empty tensor", () => device.zeros([0, 3]), ShapeError, /empty tensors do not exist/],
  ["a length that is no integer", () => device.zeros([1.5]), ShapeError, /positive integer/],
  ["data that does not fill the shape", () => device.tensor([1, 2, 3], [2, 2]), ShapeError, /3 values.*\[2, 2\]/],
  ["f16 data as numbers", () => device.tensor([1], [1], "f16"), DTypeError, /f16/],
  ["a typed array of another type", () => device.tensor(new Uint16Array(2)), DTypeError, /Uint16Array.*Float32Array/],
  ["state over the limits", () => device.zeros([2 ** 20, 2 ** 20]), OverLimitError, /bytes exceed maxBufferSize/],
  [
    "a recorded tensor over the limits",
    () => recordProgram(device, (p) => ({ y: p.empty([2 ** 20, 2 ** 20]) })),
    OverLimitError,
    /\[1048576, 1048576\].*maxStorageBufferBindingSize/,
  ],
  ["softmax of a scalar", () => softmax(reshape(zeros(1), [])), RankError, /softmax/],
] as const)("%s is refused with its reason", (_name, call, type, message) => {
  expect(call).toThrow(type);
  expect(call).toThrow(message);
});

it("an index outside its table is an IndexError at the next read, once", async () => {
  const y = gather(device.tensor([1, 2, 3, 4], [2, 2]), device.tensor([1, 7], [2], "u32"));
  await expect(y.read()).rejects.toThrow(IndexError);
  expect((await y.read()).length).toBe(4);
});

it("a bad index of a recorded program names the operation and the value", async () => {
  const program = recordProgram(device, (p) => ({
    loss: crossEntropy(p.input("logits", [2, 3]), p.input("targets", [2], "u32")),
  }));
  const logits = [1, 2, 3, 4, 5, 6];
  const bad = await program.run({ logits, targets: new Uint32Array([1, 3]) }, ["loss"]);
  await expect(bad.read()).rejects.toThrow(/crossEntropy \(3 classes\).*value 3/);
  const good = await program.run({ logits, targets: new Uint32Array([1, 2]) }, ["loss"]);
  expect((await good.read()).loss.length).toBe(1);
});

it("bad indices are told apart after two recordings were merged", async () => {
  const table = device.tensor([1, 2, 3], [3, 1]);
  const good = gather(table, device.tensor([0], [1], "u32"));
  const bad = gather(table, device.tensor([9], [1], "u32"));
  await expect(add(good, bad).read()).rejects.toThrow(/gather.*value 9/);
});

it("an intermediate whose memory was reused cannot be read", async () => {
  let inner: Tensor | undefined;
  const program = recordProgram(device, (p) => {
    inner = softmax(p.input("x", [4, 8]));
    return { y: gelu(gelu(inner)) };
  });
  await expect(inner?.read()).rejects.toThrow(/has not run yet/);
  await program.run({ x: new Float32Array(32) });
  await expect(inner?.read()).rejects.toThrow(ReusedTensorError);
  await expect(inner?.read()).rejects.toThrow(/return it from the recording function/);
});

it("tensors of two recorded programs cannot meet", () => {
  let foreign: Tensor | undefined;
  recordProgram(device, (p) => {
    foreign = gelu(p.input("x", [4]));
    return { foreign };
  });
  const mix = () => recordProgram(device, (p) => ({ y: add(p.input("x", [4]), foreign ?? zeros(4)) }));
  expect(mix).toThrow(ProgramMixError);
  expect(mix).toThrow(/pass .* as an input/);
  expect(() => recordProgram(device, () => ({ y: foreign ?? zeros(4) }))).toThrow(ProgramMixError);
});

it("tensors of two devices cannot meet", async () => {
  const other = await openDevice({ notice: () => undefined });
  expect(() => add(zeros(2), other.zeros([2]))).toThrow(DeviceMixError);
  expect(() => recordProgram(device, () => ({ y: other.zeros([2]) }))).toThrow(DeviceMixError);
  other.close();
});

it("check mode names the upload that holds a NaN or an infinity", async () => {
  const strict = await openDevice({ notice: () => undefined, checkFinite: true });
  expect(() => strict.tensor([1, Number.NaN], [2], "f32", "weights")).toThrow(NonFiniteError);
  expect(() => strict.tensor([1, Number.NaN], [2], "f32", "weights")).toThrow(/weights.*element 1 is NaN/);
  const program = recordProgram(strict, (p) => ({ y: gelu(p.input("pixels", [2])) }));
  await expect(program.run({ pixels: [0, Number.POSITIVE_INFINITY] })).rejects.toThrow(
    /input pixels: element 1 is Inf/,
  );
  strict.close();
});

it("inputs that are missing, unknown or of another length are named", async () => {
  const program = recordProgram(device, (p) => ({ y: gelu(p.input("x", [4])) }));
  await expect(program.run({})).rejects.toThrow(/input x \[4\] is missing/);
  await expect(program.run({ x: [1, 2, 3, 4], z: [1] })).rejects.toThrow(/no input z; expected x/);
  await expect(program.run({ x: [1, 2] })).rejects.toThrow(ShapeError);
  expect(() => recordProgram(device, (p) => ({ a: p.input("x", [1]), b: p.input("x", [1]) }))).toThrow(OptionError);
});

it("an adapter that does not exist is refused with three remedies", async () => {
  const opening = openDevice({ adapter: "no such adapter", notice: () => undefined });
  await expect(opening).rejects.toThrow(NoAdapterError);
  await expect(opening).rejects.toThrow(
    /--adapter no such adapter.*driver.*mesa-vulkan-drivers.*@sparticuz\/chromium/s,
  );
});

it("a missing feature is named", () => {
  expect(() => device.requireFeature("example", "no-such-feature")).toThrow(MissingFeatureError);
});

it("a shader that does not compile gives its kernel and line", async () => {
  const kernel = defineKernel({
    name: "broken",
    source:
      "@group(0) @binding(0) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1)\nfn broken() { y[0] = 1u; }",
    layout: tgpu.bindGroupLayout({ y: { storage: d.arrayOf(d.f32), access: "mutable" } }),
  });
  const program = recordProgram(device, (p) => {
    const y = p.empty([1]);
    p.dispatch(kernel, {}, { y }, [1]);
    return { y };
  });
  await expect(program.run()).rejects.toThrow(ValidationError);
  await expect(program.run()).rejects.toThrow(/kernel broken does not compile: line 3/);
  expect([...(await device.tensor([1]).read())]).toEqual([1]);
});

it("too many workgroups and shared memory are refused while recording", () => {
  const kernel = defineKernel({
    name: "copy_one",
    source: "fn copy_one() {}",
    layout: tgpu.bindGroupLayout({
      x: { storage: d.arrayOf(d.f32) },
      y: { storage: d.arrayOf(d.f32), access: "mutable" },
    }),
  });
  recordProgram(device, (p) => {
    const [x, y] = [p.empty([4]), p.empty([4])];
    expect(() => p.dispatch(kernel, {}, { x, y }, [2 ** 20])).toThrow(OverLimitError);
    expect(() => p.dispatch(kernel, {}, { x: y, y }, [1])).toThrow(/x shares memory with a tensor/);
    expect(() => p.dispatch(kernel, {}, { x }, [1])).toThrow(/no tensor for the binding y/);
    return {};
  });
});
