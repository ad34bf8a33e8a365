import {
  add,
  crossEntropyPerRow,
  type Device,
  full,
  matmul,
  type RecordedProgram,
  recordProgram,
  rows,
  type Tensor,
} from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { ResidentRows } from "../resident/resident_rows.ts";
import { addPenalty, type LogisticProblem } from "../statistics/logistic_regression.ts";

/** Rows whose logits are held at a time. */
const partRows = 4096;

/**
 * Mean cross entropy plus penalty, and its gradient, of features that stay on the device: two products per part of the rows. Memory
 * beside the features is that of the weights, their gradient, and the logits of one part with their gradient.
 */
export class LogisticObjective {
  readonly #features: ResidentRows;
  readonly #targets: Tensor;
  readonly #program: RecordedProgram<Record<string, Tensor>>;
  readonly #lossNames: readonly string[];
  readonly #width: number;

  constructor(
    device: Device,
    readonly x: FeatureMatrix,
    labels: ArrayLike<number>,
    readonly problem: LogisticProblem,
  ) {
    const { columns, classes, bias } = problem;
    this.#width = bias === "none" ? columns : columns + 1;
    this.#features = new ResidentRows(device, {
      rows: x.rows,
      width: this.#width,
      partRows,
      name: "features",
      fill: (row, into) => {
        into.fill(1); // a bias is the weight of a column of ones
        into.set(x.data.subarray(row * columns, (row + 1) * columns));
      },
    });
    this.#targets = device.tensor(Uint32Array.from(labels), [x.rows], "u32", "labels");
    this.#program = recordProgram<Record<string, Tensor>>(
      device,
      (p) => {
        const weight = p.input("weight", [classes, this.#width]);
        const outputs: Record<string, Tensor> = {};
        for (const { firstRow, count, rows: part } of this.#features.parts) {
          const targets = rows(this.#targets, firstRow, firstRow + count);
          const losses = crossEntropyPerRow(matmul(part, weight, { transposeB: true }), targets);
          const [own] = p.gradients(losses, [weight], full(p, [count], 1 / x.rows));
          outputs[`losses ${firstRow}`] = losses;
          if (own) outputs.gradient = outputs.gradient ? add(outputs.gradient, own) : own;
        }
        return outputs;
      },
      { name: "logistic regression" },
    );
    this.#lossNames = Object.keys(this.#program.outputs).filter((name) => name !== "gradient");
  }

  /** Device memory by plan, in bytes: features, labels, weights and their gradient, and the work of one part. */
  get plannedBytes(): number {
    const { plannedPeakBytes, inputBytes } = this.#program.stats;
    return this.#features.sizeBytes + this.#targets.sizeBytes + plannedPeakBytes + inputBytes;
  }

  /**
   * @param parameters - weights `[classes, columns]`, then the bias `[classes]`
   * @param gradient - written
   * @returns the value; losses are summed in float64
   */
  async evaluate(parameters: Float64Array, gradient: Float64Array): Promise<number> {
    const { classes, columns, l2 } = this.problem;
    const run = await this.#program.run({ weight: this.#packed(parameters) }, ["gradient", ...this.#lossNames]);
    const found = await run.read();
    this.#unpack(found.gradient ?? [], gradient);
    const penalty = addPenalty(parameters.subarray(0, classes * columns), l2, gradient);
    let sum = 0;
    for (const name of this.#lossNames) for (const loss of found[name] ?? []) sum += loss;
    return sum / this.x.rows + penalty;
  }

  /** Weights and bias of a class stand in one row on the device. */
  #packed(parameters: Float64Array): Float32Array {
    const { classes, columns } = this.problem;
    const packed = new Float32Array(classes * this.#width);
    for (let k = 0; k < classes; k++) {
      packed.set(parameters.subarray(k * columns, (k + 1) * columns), k * this.#width);
      if (this.#width > columns) packed[k * this.#width + columns] = parameters[classes * columns + k] ?? 0;
    }
    return packed;
  }

  #unpack(packed: ArrayLike<number>, gradient: Float64Array): void {
    const { classes, columns } = this.problem;
    gradient.fill(0);
    for (let k = 0; k < classes; k++) {
      for (let c = 0; c < columns; c++) gradient[k * columns + c] = packed[k * this.#width + c] ?? 0;
      if (this.#width > columns) gradient[classes * columns + k] = packed[k * this.#width + columns] ?? 0;
    }
  }

  destroy(): void {
    this.#program.destroy();
    this.#features.destroy();
    this.#targets.destroy();
  }
}
