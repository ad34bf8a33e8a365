import { z } from "zod";

const number = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
/** By part; pre-training has one for all, which stands under `encoder`. */
const perPart = z.union([number.transform((encoder) => ({ encoder })), z.record(z.string(), number)]).default({});
const updateSchema = z.object({
  kind: z.literal("update"),
  stage: z.union([z.literal(1), z.literal(2), z.literal(3)]),
  update: z.number(),
  epoch: z.number().optional(),
  loss: number.optional(),
  learningRate: perPart,
  heads: z.record(z.string(), z.record(z.string(), number)).default({}),
  gradientNorm: perPart,
  imagesPerSecond: number.optional(),
  waitShare: number.optional(),
  hostBytes: number.optional(),
  deviceBytes: number.optional(),
});
const knnSchema = z.object({
  kind: z.literal("knn"),
  stage: z.union([z.literal(1), z.literal(2), z.literal(3)]),
  epoch: z.number(),
  weights: z.enum(["encoder", "ema"]),
  k: z.number(),
  temperature: z.number().optional(),
  pool: z.string().optional(),
  accuracy: z.array(number),
});

const testSchema = z.object({
  kind: z.literal("test"),
  epoch: z.number(),
  accuracy: number,
  images: z.number(),
});

/** One update of a run; stage 1 is pre-training or fine-tuning. */
export type UpdateLine = z.output<typeof updateSchema>;
/** One k-NN evaluation: stage 1 is before, 2 after stage 2, 3 within or after stage 3. */
export type KnnLine = z.output<typeof knnSchema>;

/** One test of a classifier, after that many epochs. */
export type TestLine = z.output<typeof testSchema>;

/** What `metrics.jsonl` holds. */
export interface RunMetrics {
  readonly updates: readonly UpdateLine[];
  readonly knn: readonly KnnLine[];
  readonly tests: readonly TestLine[];
  /** Lines that could not be read: cut off by a kill, or of a kind that the report does not know. */
  readonly skipped: number;
}

/** Reads `metrics.jsonl`. A line that a kill cut off is left out, not an error. */
export function parseMetrics(text: string): RunMetrics {
  const updates: UpdateLine[] = [];
  const knn: KnnLine[] = [];
  const tests: TestLine[] = [];
  let skipped = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const value = parsed(line);
    const update = updateSchema.safeParse(value);
    const evaluation = knnSchema.safeParse(value);
    const test = testSchema.safeParse(value);
    if (update.success) updates.push(update.data);
    else if (evaluation.success) knn.push(evaluation.data);
    else if (test.success) tests.push(test.data);
    else skipped++;
  }
  return { updates, knn, tests, skipped };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
