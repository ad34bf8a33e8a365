import { type Outputs, type RecordedProgram, recordProgram } from "../../../engine/index.ts";
import type { Classifier } from "../../../models/index.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { EvaluationError } from "../core/errors.ts";
import { FeatureExtractor } from "../features/feature_extractor.ts";
import { type FeatureReadOptions, streamFeatures } from "../features/stream_features.ts";

/** Logits of the next images of a source. */
export interface LogitBatch {
  /** `[images, classes]` */
  readonly logits: Float32Array;
  /** Place of each row in the source; broken images are left out. */
  readonly indices: readonly number[];
  /** Class of each row, -1 where it has none. */
  readonly labels: readonly number[];
}

/**
 * Logits of every image of a source, in its order: resized and cropped as for features (shorter side to 256/224 of the classifier's
 * images, centre crop), by the one extractor of features, and then the head.
 *
 * @throws EvaluationError for an image whose logits are not finite; TooManyBrokenImagesError above `maxBad`
 */
export async function* streamLogits(
  model: Classifier,
  source: ImageSource,
  options: FeatureReadOptions = {},
): AsyncGenerator<LogitBatch, void, void> {
  const { pooling, pixels, mean, deviation, classNames } = model.description;
  // The last norm belongs to the head: that of mean patches is the norm of the mean.
  const blocks = [model.config.blocks - 1];
  const extractor = new FeatureExtractor(model.encoder, { blocks, pooling, imagePixels: pixels, mean, deviation });
  const head = recordHead(model, extractor.batch);
  try {
    for await (const { features, indices, labels } of streamFeatures(extractor, source, options)) {
      const rows = new Float32Array(extractor.batch * extractor.width);
      rows.set(features[0] ?? []);
      const { logits: values = [] } = await (await head.run({ pooled: rows }, ["logits"])).read();
      const logits = Float32Array.from(values).subarray(0, indices.length * classNames.length);
      refuseNonFinite(logits, classNames.length, (row) => source.name(indices[row] ?? 0));
      yield { logits, indices, labels };
    }
  } finally {
    head.destroy();
    extractor.destroy();
  }
}

function recordHead(model: Classifier, batch: number): RecordedProgram<Outputs> {
  return recordProgram<Outputs>(
    model.device,
    (program) => ({ logits: model.head(program.input("pooled", [batch, model.config.width])) }),
    { inference: true, name: "head" },
  );
}

function refuseNonFinite(logits: Float32Array, classes: number, nameOf: (row: number) => string): void {
  const at = logits.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  throw new EvaluationError(
    `classify: the classifier gives ${logits[at]} for ${nameOf(Math.floor(at / classes))}, which is not finite; it has diverged, or its file is damaged`,
  );
}
