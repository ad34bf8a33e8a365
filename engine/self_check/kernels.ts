import { hostUniform } from "../core/host_random.ts";
import type { Device } from "../core/recording.ts";
import type { Tensor } from "../core/tensor.ts";
import { attention } from "../ops/attention.ts";
import { countNonFinite } from "../ops/count_non_finite.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import { gather } from "../ops/gather.ts";
import { gelu } from "../ops/gelu.ts";
import { l2Normalize } from "../ops/l2_normalize.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import { linear } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { nearest } from "../ops/nearest.ts";
import { uniform } from "../ops/random.ts";
import { sum } from "../ops/reduce.ts";
import { softmax } from "../ops/softmax.ts";
import { recordProgram } from "../run/recorded_program.ts";
import * as reference from "./reference.ts";

/** Results of one kernel beside what they should be, by name. */
export type Results = Readonly<
  Record<string, { readonly actual: ArrayLike<number>; readonly expected: ArrayLike<number> }>
>;

export interface KernelCheck {
  readonly name: string;
  readonly bound: number;
  readonly run: (device: Device) => Promise<Results>;
}

/** Forward values and gradients, relative to the largest; the bounds that the golden fixtures have, too. */
const forwardBound = 1e-5;
const gradientBound = 1e-4;

/** Numbers in [-1, 1), the same on every machine. */
function values(name: string, count: number): Float32Array {
  return hostUniform(count, { seed: 1, purpose: `golden ${name}` }).map((value) => 2 * value - 1);
}

async function read(x: Tensor): Promise<ArrayLike<number>> {
  return x.read();
}

// Sizes are odd or prime, so that every kernel has a tile that is not full.
const [rows, inner, columns] = [37, 53, 29];

async function checkMatmul(device: Device): Promise<Results> {
  const a = values("a", rows * inner);
  const b = values("b", columns * inner);
  const y = matmul(device.tensor(a, [rows, inner]), device.tensor(b, [columns, inner]), { transposeB: true });
  return { product: { actual: await read(y), expected: reference.productTransposed(a, b, rows, columns, inner) } };
}

async function checkLinear(device: Device): Promise<Results> {
  const x = values("x", rows * inner);
  const weight = values("weight", columns * inner).map((value) => value / 4);
  const bias = values("bias", columns);
  const residual = values("residual", rows * columns);
  const y = linear(device.tensor(x, [rows, inner]), device.tensor(weight, [columns, inner]), {
    bias: device.tensor(bias, [columns]),
    activation: "gelu",
    residual: device.tensor(residual, [rows, columns]),
  });
  const expected = reference
    .productTransposed(x, weight, rows, columns, inner)
    .map((value, i) => reference.gelu(value + (bias[i % columns] ?? 0)) + (residual[i] ?? 0));
  return { "gelu(x Wᵀ + b) + r": { actual: await read(y), expected } };
}

async function checkLayerNorm(device: Device): Promise<Results> {
  const x = values("x", rows * columns);
  const weight = values("weight", columns);
  const bias = values("bias", columns);
  const y = layerNorm(device.tensor(x, [rows, columns]), {
    weight: device.tensor(weight, [columns]),
    bias: device.tensor(bias, [columns]),
  });
  return { y: { actual: await read(y), expected: reference.layerNormRows(x, weight, bias, rows, columns) } };
}

async function checkSoftmax(device: Device): Promise<Results> {
  const x = values("x", rows * columns).map((value) => 30 * value);
  const y = softmax(device.tensor(x, [rows, columns]));
  return { y: { actual: await read(y), expected: reference.softmaxRows(x, rows, columns) } };
}

async function checkAttention(device: Device): Promise<Results> {
  const [tokens, heads, headDim] = [19, 2, 16];
  const qkv = values("qkv", tokens * 3 * heads * headDim).map((value) => 2 * value);
  const y = attention(device.tensor(qkv, [1, tokens, 3 * heads * headDim]), { heads });
  return { y: { actual: await read(y), expected: reference.attentionRows(qkv, tokens, heads, headDim) } };
}

/** Forward and gradient together: dlogits = (softmax - one-hot) / rows. */
async function checkCrossEntropy(device: Device): Promise<Results> {
  const logits = values("logits", rows * columns).map((value) => 5 * value);
  const targets = Uint32Array.from({ length: rows }, (_, r) => (7 * r) % columns);
  const recorded = recordProgram(device, (p) => {
    const x = p.input("logits", [rows, columns]);
    const loss = crossEntropy(x, p.input("targets", [rows], "u32"));
    const [gradient = loss] = p.gradients(loss, [x]);
    return { loss, gradient };
  });
  const actual = await (await recorded.run({ logits, targets }, ["loss", "gradient"])).read();
  recorded.destroy();
  const probabilities = reference.softmaxRows(logits, rows, columns);
  const isTarget = (i: number): boolean => targets[Math.floor(i / columns)] === i % columns;
  const loss = probabilities.reduce((all, value, i) => all - (isTarget(i) ? Math.log(value) : 0), 0) / rows;
  const gradient = probabilities.map((value, i) => (value - (isTarget(i) ? 1 : 0)) / rows);
  return {
    loss: { actual: actual.loss, expected: [loss] },
    gradient: { actual: actual.gradient, expected: gradient },
  };
}

async function checkNearest(device: Device): Promise<Results> {
  const [queries, bank, width, k] = [11, 301, 24, 3];
  const q = values("queries", queries * width);
  const entries = values("bank", bank * width);
  const found = nearest(device.tensor(q, [queries, width]), device.tensor(entries, [bank, width]), {
    k,
    metric: "dot",
  });
  const products = reference.productTransposed(q, entries, queries, bank, width);
  const expected = Array.from({ length: queries }, (_, r) => {
    const row = products.slice(r * bank, (r + 1) * bank);
    return row
      .map((_, i) => i)
      .sort((i, j) => (row[j] ?? 0) - (row[i] ?? 0))
      .slice(0, k);
  });
  return { indices: { actual: await read(found.indices), expected: expected.flat() } };
}

async function checkUnary(device: Device): Promise<Results> {
  const x = values("x", rows * columns).map((value) => 4 * value);
  const y = gelu(device.tensor(x, [rows, columns]));
  return { y: { actual: await read(y), expected: Array.from(x, reference.gelu) } };
}

async function checkNormalize(device: Device): Promise<Results> {
  const x = values("x", rows * columns);
  const lengths = reference.productTransposed(x, x, rows, rows, columns).filter((_, i) => i % (rows + 1) === 0);
  const expected = Array.from(x, (value, i) => value / Math.sqrt(lengths[Math.floor(i / columns)] ?? 1));
  return { y: { actual: await read(l2Normalize(device.tensor(x, [rows, columns]))), expected } };
}

async function checkSum(device: Device): Promise<Results> {
  const x = hostUniform(100_003, { seed: 1, purpose: "golden sum" });
  const expected = x.reduce((all, value) => all + value, 0);
  return { total: { actual: await read(sum(device.tensor(x))), expected: [expected] } };
}

async function checkGather(device: Device): Promise<Results> {
  const table = values("table", rows * columns);
  const indices = Uint32Array.from({ length: 2 * rows }, (_, i) => (i * 11) % rows);
  const y = gather(device.tensor(table, [rows, columns]), device.tensor(indices, [2 * rows], "u32"));
  const expected = Array.from(indices).flatMap((index) => [...table.slice(index * columns, (index + 1) * columns)]);
  return { y: { actual: await read(y), expected } };
}

async function checkRandom(device: Device): Promise<Results> {
  const key = { seed: 7, purpose: "golden random", step: 3 };
  const recorded = recordProgram(device, (p) => ({ y: uniform(p, [1001], key) }));
  const { y } = await (await recorded.run({}, ["y"])).read();
  recorded.destroy();
  return { y: { actual: y, expected: hostUniform(1001, key) } };
}

/** Compilers may assume finite numbers; the check for others must see through that. */
async function checkNonFinite(device: Device): Promise<Results> {
  const x = values("x", 1000);
  x.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], 500);
  return { count: { actual: await read(countNonFinite(device.tensor(x))), expected: [3] } };
}

/** One small check per kernel that a model's features or gradients depend on. */
export const kernelChecks: readonly KernelCheck[] = [
  { name: "matmul", bound: forwardBound, run: checkMatmul },
  { name: "linear", bound: forwardBound, run: checkLinear },
  { name: "layer_norm", bound: forwardBound, run: checkLayerNorm },
  { name: "softmax", bound: forwardBound, run: checkSoftmax },
  { name: "attention", bound: forwardBound, run: checkAttention },
  { name: "cross_entropy", bound: gradientBound, run: checkCrossEntropy },
  { name: "nearest", bound: 0, run: checkNearest },
  { name: "gelu", bound: forwardBound, run: checkUnary },
  { name: "l2_normalize", bound: forwardBound, run: checkNormalize },
  { name: "sum", bound: forwardBound, run: checkSum },
  { name: "gather", bound: 0, run: checkGather },
  { name: "random", bound: 0, run: checkRandom },
  { name: "count_non_finite", bound: 0, run: checkNonFinite },
];
