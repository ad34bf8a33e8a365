import { type Device, hostNormal, type Program, stepScalars, type Tensor } from "../../../engine/index.ts";
import { attention } from "../../../engine/ops/attention.ts";
import { add } from "../../../engine/ops/binary.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { concat } from "../../../engine/ops/concat.ts";
import { crossEntropyPerRow } from "../../../engine/ops/cross_entropy.ts";
import { gelu, geluGrad } from "../../../engine/ops/gelu.ts";
import { layerNorm } from "../../../engine/ops/layer_norm.ts";
import { matmul } from "../../../engine/ops/matmul.ts";
import { permute } from "../../../engine/ops/permute.ts";
import { slice } from "../../../engine/ops/slice.ts";
import { softmax } from "../../../engine/ops/softmax.ts";
import { adamW } from "../../../engine/optimizers/adamw.ts";

/** One line of the table. */
export interface Work {
  readonly name: string;
  /** Which peak it is measured against. */
  readonly bound: "arithmetic" | "copy";
  /** Floating-point operations of the mathematics, or bytes that must move. */
  readonly amount: number;
  /** Percent of the peak; undefined where none is demanded. */
  readonly wanted?: number;
  readonly record: (program: Program) => readonly Tensor[];
  readonly inputs?: Readonly<Record<string, ArrayLike<number>>>;
}

const tokensOfBatch = 8 * 197; // ViT-Ti/16, 224 px

/** Works whose memory is far larger than a cache where bandwidth bounds them. */
export function works(device: Device): Work[] {
  const state = (...shape: number[]): Tensor => {
    const values = hostNormal(
      shape.reduce((product, size) => product * size, 1),
      { seed: 1, purpose: "bench" },
    );
    return device.tensor(values, shape);
  };
  const product = (rows: number, depth: number, columns: number): Work => {
    const [a, b] = [state(rows, depth), state(depth, columns)];
    const amount = 2 * rows * depth * columns;
    const name = `matmul ${rows}x${depth}x${columns}`;
    return { name, bound: "arithmetic", amount, wanted: 15, record: () => [matmul(a, b)] };
  };
  const moves = (name: string, bytes: number, record: Work["record"], wanted?: number): Work => ({
    name,
    bound: "copy",
    amount: bytes,
    record,
    ...(wanted === undefined ? {} : { wanted }),
  });
  const hidden = state(4 * tokensOfBatch, 768);
  const other = state(4 * tokensOfBatch, 768);
  const heads = state(32, 197, 12, 64);
  const scores = state(24 * 197, 1024);
  const rows = state(8 * tokensOfBatch, 192);
  const scale = state(192);
  const logits = state(8192, 1000);
  const targets = device.tensor(new Uint32Array(8192), [8192], "u32");
  const bytes = hidden.sizeBytes;
  return [
    product(512, 512, 512),
    product(tokensOfBatch, 192, 576),
    product(tokensOfBatch, 192, 768),
    product(tokensOfBatch, 768, 192),
    attentionWork(),
    moves("permute heads [32,197,12,64]", 2 * heads.sizeBytes, () => [permute(heads, [0, 2, 1, 3])], 60),
    moves("concat along rows", 4 * bytes, () => [concat([hidden, other], 0)], 60),
    moves("concat along columns", 4 * bytes, () => [concat([hidden, other], 1)], 60),
    moves("slice from column 64", (2 * bytes * 704) / 768, () => [slice(hidden, [undefined, [64, 704]])], 60),
    moves("add", 3 * bytes, () => [add(hidden, other)], 60),
    moves("add in place", 5 * bytes, () => [add(add(hidden, other), other)], 60), // one out of place, one in place
    moves("cast f32 to u32", 2 * bytes, () => [cast(hidden, "u32")], 60),
    adamWork(device),
    moves("gelu", 2 * bytes, () => [gelu(hidden)], 45),
    moves("gelu gradient", 3 * bytes, () => [geluGrad(hidden, other)], 45),
    moves("softmax [4728,1024]", 2 * scores.sizeBytes, () => [softmax(scores)], 45),
    moves("cross-entropy [8192,1000]", logits.sizeBytes, () => [crossEntropyPerRow(logits, targets)], 45),
    moves("layer norm [12608,192]", 2 * rows.sizeBytes, () => [layerNorm(rows, { weight: scale, bias: scale })]),
  ];
}

/** Forward and backward at the shape of ViT-Ti; per query, key and dimension 4 and 10 operations. */
function attentionWork(): Work {
  const [batch, tokens, heads, headDim] = [4, 197, 3, 64];
  const width = heads * headDim;
  return {
    name: "attention forward + backward",
    bound: "arithmetic",
    amount: 14 * batch * heads * tokens * tokens * headDim,
    wanted: 10,
    record: (program) => {
      const qkv = program.input("qkv", [batch, tokens, 3 * width]);
      const y = attention(qkv, { heads });
      return [y, ...program.gradients(y, [qkv], program.input("dy", y.shape))];
    },
    inputs: {
      qkv: hostNormal(batch * tokens * 3 * width, { seed: 2, purpose: "bench" }),
      dy: hostNormal(batch * tokens * width, { seed: 3, purpose: "bench" }),
    },
  };
}

/** AdamW with a moving average: five arrays read, four written. */
function adamWork(device: Device): Work {
  const size = 2 ** 22;
  const arena = (): Tensor => device.zeros([size]);
  const average = arena();
  const operands = {
    parameters: arena(),
    gradients: arena(),
    firstMoment: arena(),
    secondMoment: arena(),
    blockGroups: device.zeros([size / 64], "u32"),
    groups: device.tensor([1, 0.05], [1, 2]),
    scalars: device.tensor(stepScalars({ learningRate: 1e-3, step: 1, beta1: 0.9, averageFactor: 0.9999 })),
    average,
  };
  const record = (program: Program): readonly Tensor[] => {
    adamW(program, operands);
    return [];
  };
  return { name: "adamW with average", bound: "copy", amount: 9 * 4 * size, wanted: 60, record };
}
