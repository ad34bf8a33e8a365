import { argmax, type Device, matmul, recordProgram } from "../../../engine/index.ts";
import { EvaluationError } from "../core/errors.ts";
import { checkMatrix, type FeatureMatrix } from "../core/feature_matrix.ts";
import type { LinearClassifier } from "../statistics/logistic_regression.ts";

/** Rows whose logits are held at a time. */
const rowsPerRun = 2048;

/**
 * The most probable class of each row under a linear classifier, computed on the device; the smaller of equals.
 *
 * @throws EvaluationError for features of another width, or that are not finite
 */
export async function linearPredictions(
  device: Device,
  { weight, bias }: LinearClassifier,
  x: FeatureMatrix,
): Promise<Int32Array> {
  checkMatrix("linearPredictions", x);
  const { columns } = weight;
  if (x.columns !== columns) {
    throw new EvaluationError(
      `linearPredictions: features of width ${x.columns}, the classifier was fitted on ${columns}; take both from the same block`,
    );
  }
  const count = Math.min(rowsPerRun, x.rows);
  const width = columns + 1; // a bias is the weight of a column of ones
  const packed = new Float32Array(weight.rows * width);
  for (let k = 0; k < weight.rows; k++) {
    packed.set(weight.data.subarray(k * columns, (k + 1) * columns), k * width);
    packed[k * width + columns] = bias[k] ?? 0;
  }
  const program = recordProgram(
    device,
    (p) => ({
      predicted: argmax(
        matmul(p.input("features", [count, width]), p.input("weight", [weight.rows, width]), { transposeB: true }),
      ),
    }),
    { name: "linear classifier", inference: true },
  );
  const predicted = new Int32Array(x.rows);
  try {
    const features = new Float32Array(count * width);
    for (let from = 0; from < x.rows; from += count) {
      const used = Math.min(count, x.rows - from);
      for (let row = 0; row < used; row++) {
        features.set(x.data.subarray((from + row) * columns, (from + row + 1) * columns), row * width);
        features[row * width + columns] = 1;
      }
      const found = await (await program.run({ features, weight: packed }, ["predicted"])).read();
      predicted.set(found.predicted.subarray(0, used), from);
    }
  } finally {
    program.destroy();
  }
  return predicted;
}
