import {
  argmax,
  type BatchNormStatistics,
  batchNorm,
  crossEntropyPerRow,
  type Device,
  full,
  hostNormal,
  linear,
  mean,
  type Outputs,
  type Program,
  type RecordedProgram,
  recordProgram,
  reshape,
  sgdGrid,
  slice,
  softmax,
  type Tensor,
} from "../../../engine/index.ts";
import { batchNormStatistics } from "../../../engine/ops/batch_norm.ts";
import type { ProbeFeature, ProbeGrid, ProbeSource } from "./probe_grid.ts";

/** Of the published optimiser; no dampening, no Nesterov, no weight decay. */
const momentum = 0.9;
/** Deviation of the start weights; the published truncation at ±2 is never reached. */
const startDeviation = 0.01;

/** What heads that share a feature are to the device: one layer of `rates · classes` outputs. */
interface FeatureHeads {
  readonly feature: ProbeFeature;
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly weightVelocity: Tensor;
  readonly biasVelocity: Tensor;
}

/** One trained head with the statistics that it needs, on the host. */
export interface TrainedHead {
  /** `[classes, width]` */
  readonly weight: Float32Array;
  /** `[classes]` */
  readonly bias: Float32Array;
  /** Running estimates of its feature, `[width]` each. */
  readonly mean: Float32Array;
  readonly variance: Float32Array;
}

/** Where the rows of a source come from. */
export interface SourceRecording {
  /** Records `[rows, width]`; default an input of the source's name. */
  readonly source?: (program: Program, source: ProbeSource, width: number) => Tensor;
}

export interface UpdateRecording extends SourceRecording {
  readonly gradients?: boolean;
  /**
   * Records its inputs, and gives the loss of each row of logits `[rows · rates, classes]`; the loss of a head is the mean over its rows.
   * Default: cross entropy against the input `targets`.
   */
  readonly loss?: (program: Program) => (logits: Tensor) => Tensor;
}

/**
 * All heads of a grid on the device. Heads that share a feature are one product each way, and sources are normalised once for all
 * features that read them, so that an update takes the same launches for any number of rates.
 */
export class ProbeHeads {
  readonly #statistics: ReadonlyMap<ProbeSource, BatchNormStatistics>;
  readonly #heads: readonly FeatureHeads[];

  /** Weights are 0 before {@link initialise}. @throws OverLimitError if a feature's weights are over the device's limits */
  constructor(
    readonly device: Device,
    readonly grid: ProbeGrid,
    readonly classes: number,
  ) {
    this.#statistics = new Map(
      [...grid.sources].map(([source, width]) => [source, batchNormStatistics(device, width, source)]),
    );
    this.#heads = grid.features.map((feature) => {
      const outputs = grid.rates.length * classes;
      const width = widthOf(feature);
      const zeros = (shape: readonly number[], what: string) => device.zeros(shape, "f32", `${feature.name} ${what}`);
      return {
        feature,
        weight: zeros([outputs, width], "weight"),
        bias: zeros([outputs], "bias"),
        weightVelocity: zeros([outputs, width], "weight velocity"),
        biasVelocity: zeros([outputs], "bias velocity"),
      };
    });
  }

  /** Start values: weights normal with deviation 0.01, everything else 0; running estimates mean 0 and variance 1. */
  initialise(seed: number): void {
    const { device } = this;
    for (const { feature, weight, bias, weightVelocity, biasVelocity } of this.#heads) {
      const start = hostNormal(weight.size, { seed, purpose: `linear probe ${feature.name}` });
      device.write(
        weight,
        start.map((value) => startDeviation * value),
      );
      for (const zero of [bias, weightVelocity, biasVelocity]) device.write(zero, new Float32Array(zero.size));
    }
    for (const { mean: average, variance, batches } of this.#statistics.values()) {
      device.write(average, new Float32Array(average.size));
      device.write(variance, new Float32Array(variance.size).fill(1));
      device.write(batches, new Uint32Array(1));
    }
  }

  /** All that a resumed run needs, by name. */
  get tensors(): Readonly<Record<string, Tensor>> {
    const named: [string, Tensor][] = [];
    for (const { feature, weight, bias, weightVelocity, biasVelocity } of this.#heads)
      for (const [name, tensor] of Object.entries({ weight, bias, weightVelocity, biasVelocity }))
        named.push([`heads.${feature.name}.${name}`, tensor]);
    for (const [source, statistics] of this.#statistics)
      for (const [name, tensor] of Object.entries(statistics)) named.push([`batch norm.${source}.${name}`, tensor]);
    return Object.fromEntries(named);
  }

  /** Running estimates of a source. */
  statistics(source: ProbeSource): BatchNormStatistics | undefined {
    return this.#statistics.get(source);
  }

  /** Weight `[rates · classes, width]` and bias of the heads of a feature, by its place in the grid. */
  layer(feature: number): { readonly weight: Tensor; readonly bias: Tensor } | undefined {
    return this.#heads[feature];
  }

  /**
   * Records one update on a batch.
   *
   * Inputs: a matrix per source under its name; `targets`, u32 `[batch · rates]`, the class of each image once per rate; `rates`,
   * `[rates]`, the learning rates of this update. Outputs: `losses i` of feature i, `[rates]`, before the update; with `gradients` also
   * `weight gradient i`, `[rates · classes, width]`, `bias gradient i`, and `logits i`.
   */
  recordUpdate(batch: number, options: UpdateRecording = {}): RecordedProgram<Outputs> {
    const { grid, device, classes } = this;
    const rateCount = grid.rates.length;
    return recordProgram<Outputs>(
      device,
      (program) => {
        const lossOf = (options.loss ?? ((p) => ofClasses(p, batch * rateCount)))(program);
        const rates = program.input("rates", [rateCount]);
        const features = this.#features(program, batch, "training", options);
        const logits = this.#heads.map(({ weight, bias }, i) =>
          reshape(linear(features(i), weight, { bias }), [batch * rateCount, classes]),
        );
        const losses = logits.map(lossOf);
        const outputs = losses.map((perRow, i): [string, Tensor] => [
          `losses ${i}`,
          mean(reshape(perRow, [batch, rateCount]), { axes: [0] }),
        ]);
        const seeds = losses.map((output) => ({ output, gradient: full(program, output.shape, 1 / batch) }));
        const parameters = this.#heads.flatMap(({ weight, bias }) => [weight, bias]);
        const gradients = program.pullBack(seeds, parameters);
        this.#heads.forEach((head, i) => {
          const [weightGradient, biasGradient] = gradients.slice(2 * i, 2 * i + 2);
          if (!weightGradient || !biasGradient) return;
          if (options.gradients)
            outputs.push(
              [`weight gradient ${i}`, weightGradient],
              [`bias gradient ${i}`, biasGradient],
              ...logits.slice(i, i + 1).map((values): [string, Tensor] => [`logits ${i}`, values]),
            );
          const step = (parameters: Tensor, gradients: Tensor, velocity: Tensor) =>
            sgdGrid(program, { parameters, gradients, velocity, rates, momentum });
          step(head.weight, weightGradient, head.weightVelocity);
          step(head.bias, biasGradient, head.biasVelocity);
        });
        return Object.fromEntries(outputs);
      },
      { name: "linear probe" },
    );
  }

  /**
   * Records what all heads predict, with the running estimates.
   *
   * Inputs as for an update; outputs `classes i` of feature i, u32 `[rows · rates]`, and with `logits` also `logits i`.
   */
  recordPredictions(
    rows: number,
    options: SourceRecording & { readonly logits?: boolean } = {},
  ): RecordedProgram<Outputs> {
    const { grid, device, classes } = this;
    return recordProgram<Outputs>(
      device,
      (program) => {
        const features = this.#features(program, rows, "evaluation", options);
        const named = this.#heads.flatMap(({ weight, bias }, i): [string, Tensor][] => {
          const logits = reshape(linear(features(i), weight, { bias }), [rows * grid.rates.length, classes]);
          const predicted: [string, Tensor] = [`classes ${i}`, argmax(logits)];
          return options.logits ? [predicted, [`logits ${i}`, logits]] : [predicted];
        });
        return Object.fromEntries(named);
      },
      { name: "linear probe predictions", inference: true },
    );
  }

  /** Records inputs and their batch norm; gives the normalised columns of a feature. */
  #features(
    program: Program,
    rows: number,
    mode: "training" | "evaluation",
    { source: recorded = (p, source, width) => p.input(source, [rows, width]) }: SourceRecording,
  ): (feature: number) => Tensor {
    const normalised = new Map(
      [...this.grid.sources].map(([source, width]) => {
        const statistics = this.#statistics.get(source) ?? batchNormStatistics(program.device, width);
        return [source, batchNorm(recorded(program, source, width), { statistics, mode })];
      }),
    );
    return (index) => {
      const feature = this.grid.features[index];
      const x = feature && normalised.get(feature.source);
      if (!feature || !x) throw new RangeError(`linear probe: no feature ${index}`);
      const [from, to] = feature.columns;
      return to - from === x.shape[1] ? x : slice(x, [undefined, [from, to]]);
    };
  }

  /** Copies one head to the host. */
  async trained(head: { readonly feature: number; readonly rate: number }): Promise<TrainedHead> {
    const { grid, classes } = this;
    const feature = grid.features[head.feature];
    const layer = this.#heads[head.feature];
    const statistics = feature && this.#statistics.get(feature.source);
    if (!feature || !layer || !statistics) throw new RangeError(`linear probe: no feature ${head.feature}`);
    const [from, to] = feature.columns;
    const part = (values: ArrayLike<number>, first: number, last: number) =>
      Float32Array.from({ length: last - first }, (_, i) => values[first + i] ?? Number.NaN);
    const size = classes * widthOf(feature);
    return {
      weight: part(await layer.weight.read(), head.rate * size, (head.rate + 1) * size),
      bias: part(await layer.bias.read(), head.rate * classes, (head.rate + 1) * classes),
      mean: part(await statistics.mean.read(), from, to),
      variance: part(await statistics.variance.read(), from, to),
    };
  }

  /** Frees the memory on the device. */
  destroy(): void {
    for (const tensor of Object.values(this.tensors)) tensor.destroy();
  }
}

/**
 * Records probabilities of one trained head: input `x`, `[rows, width]`, the columns of its feature; output `probabilities`,
 * `[rows, classes]`.
 */
export function recordProbabilities(
  device: Device,
  { weight, bias, mean: average, variance }: TrainedHead,
  rows: number,
): RecordedProgram<Outputs> {
  const [width, classes] = [average.length, bias.length];
  return recordProgram<Outputs>(
    device,
    (program) => {
      const statistics = {
        mean: program.own(device.tensor(average, [width])),
        variance: program.own(device.tensor(variance, [width])),
        batches: program.own(device.zeros([1], "u32")),
      };
      const x = batchNorm(program.input("x", [rows, width]), { statistics, mode: "evaluation" });
      const layer = program.own(device.tensor(weight, [classes, width]));
      const logits = linear(x, layer, { bias: program.own(device.tensor(bias, [classes])) });
      return { probabilities: softmax(logits) };
    },
    { name: "linear probe probabilities", inference: true },
  );
}

function ofClasses(program: Program, rows: number): (logits: Tensor) => Tensor {
  const targets = program.input("targets", [rows], "u32");
  return (logits) => crossEntropyPerRow(logits, targets);
}

function widthOf({ columns: [from, to] }: ProbeFeature): number {
  return to - from;
}
