import * as engine from "../../../engine/index.ts";
import { batchNormStatistics } from "../../../engine/ops/batch_norm.ts";

const [rows, columns, outputs] = [24, 64, 32];

/** One recording of each operation that has variants, by its name in the tuning table. */
export const recordings: Readonly<Record<string, (p: engine.Program) => unknown>> = {
  attention: (p) => engine.attention(p.input("qkv", [2, 12, 3 * columns]), { heads: 4 }),
  batch_norm: (p) =>
    engine.batchNorm(p.input("x", [rows, columns]), {
      statistics: batchNormStatistics(p.device, columns),
      mode: "training",
    }),
  conv: (p) => engine.conv2d(p.input("x", [2, 5, 6, 16]), p.input("weight", [8, 3, 3, 16]), { padding: 1 }),
  cross_entropy: (p) => engine.crossEntropy(p.input("logits", [rows, columns]), p.input("targets", [rows], "u32")),
  l2_normalize: (p) => engine.l2Normalize(p.input("x", [rows, columns])),
  layer_norm: (p) => engine.layerNorm(p.input("x", [rows, columns])),
  layer_norm_grad: (p) => {
    const x = p.input("x", [rows, columns]);
    return p.gradients(engine.sum(engine.layerNorm(x)), [x]);
  },
  matmul: (p) => engine.matmul(p.input("a", [rows, 512]), p.input("b", [512, outputs])),
  nearest: (p) => engine.nearest(p.input("x", [rows, columns]), p.input("bank", [100, columns]), { k: 5 }),
  norm_linear: (p) => {
    const norm = { weight: p.input("scale", [columns]), bias: p.input("shift", [columns]) };
    return engine.normLinear(p.input("x", [rows, columns]), norm, p.input("weight", [outputs, columns]));
  },
  rms_norm: (p) => engine.rmsNorm(p.input("x", [rows, columns]), p.input("weight", [columns])),
  rms_norm_grad: (p) => {
    const [x, weight] = [p.input("x", [rows, columns]), p.input("weight", [columns])];
    return p.gradients(engine.sum(engine.rmsNorm(x, weight)), [x]);
  },
  softmax: (p) => engine.softmax(p.input("x", [rows, columns])),
};
