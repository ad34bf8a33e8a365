import {
  attention,
  batchNorm,
  conv2d,
  crossEntropy,
  l2Normalize,
  layerNorm,
  linear,
  matmul,
  nearest,
  normLinear,
  type Program,
  rmsNorm,
  softmax,
  type Tensor,
} from "../../engine/index.ts";
import { batchNormStatistics } from "../../engine/ops/batch_norm.ts";
import { type VitPreset, vitConfig } from "../../models/index.ts";

/** A use of an operation in a model: recording it asks the tuning table for every choice that it holds. */
export interface OperationCase {
  /** Where it stands, such as `ti16 second MLP layer`. */
  readonly use: string;
  /** Whether no gradient can be asked for. */
  readonly inference?: boolean;
  readonly record: (program: Program) => unknown;
}

/** The encoders whose shapes are measured, the smallest first. */
const measuredModels = ["ti16", "b16", "l16"] as const satisfies readonly VitPreset[];

/**
 * Every operation with several variants in the shapes of ViT-Ti, B and L on images of 224 pixels, and in those of a refine step's heads
 * and queue.
 *
 * @param images - images of a batch
 * @param queueLength - rows of the bank that is searched
 */
export function operationCases(images: number, queueLength: number, hasHalf: boolean): OperationCase[] {
  const models = measuredModels.flatMap((model) => encoderCases(model, images, hasHalf));
  return [...models, ...headCases(images, queueLength)];
}

function encoderCases(model: VitPreset, images: number, hasHalf: boolean): OperationCase[] {
  const { width, mlpWidth, heads, heightPixels, patchPixels, classTokens } = vitConfig(model);
  const tokens = (heightPixels / patchPixels) ** 2 + classTokens;
  const rows = images * tokens;
  const layer = (use: string, inputs: number, outputs: number): OperationCase => ({
    use: `${model} ${use} and gradients`,
    record: (p) => {
      const [x, weight, bias] = [
        p.input("x", [rows, inputs]),
        p.input("w", [outputs, inputs]),
        p.input("b", [outputs]),
      ];
      return differentiate(p, linear(x, weight, { bias }), [x, weight, bias]);
    },
  });
  const normLayer = (use: string, outputs: number, activation?: "gelu"): OperationCase => ({
    use: `${model} norm and ${use}`,
    record: (p) => {
      const norm = { weight: p.input("scale", [width]), bias: p.input("shift", [width]) };
      const [weight, bias] = [p.input("w", [outputs, width]), p.input("b", [outputs])];
      return normLinear(p.input("x", [rows, width]), norm, weight, { bias, activation });
    },
  });
  const half: OperationCase[] = [
    {
      use: `${model} product in f16`,
      record: (p) => matmul(p.input("a", [rows, width], "f16"), p.input("b", [width, mlpWidth], "f16")),
    },
    {
      use: `${model} attention in f16 and gradient`,
      record: (p) => attention(p.input("qkv", [images, tokens, 3 * width], "f16"), { heads }),
    },
  ];
  return [
    layer("query, key and value", width, 3 * width),
    layer("projection", width, width),
    layer("first MLP layer", width, mlpWidth),
    layer("second MLP layer", mlpWidth, width),
    normLayer("query, key and value", 3 * width),
    normLayer("first MLP layer", mlpWidth, "gelu"),
    {
      use: `${model} attention`,
      inference: true,
      record: (p) => attention(p.input("qkv", [images, tokens, 3 * width]), { heads }),
    },
    {
      use: `${model} attention and gradient`,
      record: (p) => attention(p.input("qkv", [images, tokens, 3 * width]), { heads }),
    },
    {
      use: `${model} layer norm and gradient`,
      record: (p) => {
        const x = p.input("x", [rows, width]);
        return differentiate(p, layerNorm(x, affine(p, width)), [x]);
      },
    },
    {
      use: `${model} RMS norm and gradient`,
      record: (p) => {
        const [x, weight] = [p.input("x", [rows, width]), p.input("weight", [width])];
        return differentiate(p, rmsNorm(x, weight), [x, weight]);
      },
    },
    ...(hasHalf ? half : []),
  ];
}

/** Of the published head: 2048 and 4096 wide, 256 numbers of a result, the 20 nearest of the queue. */
function headCases(images: number, queueLength: number): OperationCase[] {
  const views = 2 * images;
  return [
    {
      use: "classifier of 1000 classes",
      record: (p) => crossEntropy(p.input("logits", [views, 1000]), p.input("targets", [views], "u32")),
    },
    {
      use: "convolution 3×3 of 64 channels, 56×56, and gradients",
      record: (p) => {
        const [x, weight] = [p.input("x", [images, 56, 56, 64]), p.input("w", [64, 3, 3, 64])];
        return differentiate(p, conv2d(x, weight, { padding: 1 }), [x, weight]);
      },
    },
    { use: "softmax of 1000 classes", record: (p) => softmax(p.input("x", [views, 1000])) },
    { use: "unit length of the head's results", record: (p) => l2Normalize(p.input("x", [views, 256])) },
    {
      use: "batch norm of the predictor and gradient",
      record: (p) => {
        const statistics = batchNormStatistics(p.device, 4096);
        return batchNorm(p.input("x", [views, 4096]), { statistics, mode: "training" });
      },
    },
    {
      use: `nearest of ${queueLength} in the queue`,
      record: (p) => nearest(p.input("q", [views, 256]), p.input("bank", [queueLength, 256]), { k: 20 }),
    },
  ];
}

function affine(p: Program, width: number): { weight: Tensor; bias: Tensor } {
  return { weight: p.input("scale", [width]), bias: p.input("shift", [width]) };
}

function differentiate(p: Program, y: Tensor, targets: readonly Tensor[]): Tensor[] {
  return p.gradients(y, targets, p.input("dy", y.shape));
}
