import { z } from "zod";

/** Version of the report's form; a reader refuses what it does not know. */
export const reportFormat = 1;

/** In the order of their measurements: those of many parts, which take what time is left, come last. */
export const reportSections = ["probes", "numbers", "tuning", "steps", "operations"] as const;
export type ReportSection = (typeof reportSections)[number];

const positive = z.number().nonnegative();

const variantSchema = z.strictObject({
  variant: z.string(),
  wallMs: positive
    .nullable()
    .describe("median from submit to completion; of short ones several are handed over at once"),
  kernelMs: positive.nullable().describe("median of the kernels alone; null without timestamps"),
  runs: z.int().nonnegative().describe("timed repetitions"),
  gflops: positive.nullable().describe("10⁹ operations per second, by kernelMs where it is known"),
  gigabytesPerSecond: positive.nullable().describe("10⁹ bytes read and written per second"),
  arithmeticShare: positive.nullable().describe("of the probe's arithmetic peak, 0 … 1"),
  bandwidthShare: positive.nullable().describe("of the probe's copy bandwidth, 0 … 1"),
  error: z.string().nullable().describe("why it has no times"),
});

const stepSchema = z.strictObject({
  model: z.string(),
  step: z.string(),
  batch: z.int(),
  localViews: z.int().nullable().describe("of a refine step"),
  queueLength: z.int().nullable().describe("of a refine step"),
  precision: z.string(),
  error: z.string().nullable(),
  stepMs: positive.nullable(),
  scriptMs: positive.nullable().describe("the part of it in JavaScript"),
  gflops: positive.nullable(),
  arithmeticShare: positive.nullable(),
  dispatches: z.int().nullable(),
  bytesMoved: positive.nullable(),
  plannedBytes: positive.nullable().describe("what the planner promised"),
  lowerBoundBytes: positive.nullable().describe("the least that any plan could take"),
  heldBytes: positive.nullable().describe("of all buffers on the device"),
  kernels: z
    .array(
      z.strictObject({
        kernel: z.string(),
        launches: z.int(),
        milliseconds: positive,
        gflops: positive,
        gigabytesPerSecond: positive,
      }),
    )
    .describe("medians by kernel, the longest first; empty without timestamps"),
});

/** What `mimrefine bench --gpu-report` measures of an adapter. It names no host, user or path. */
export const gpuReportSchema = z.strictObject({
  kind: z.literal("mimrefine GPU report"),
  format: z.literal(reportFormat),
  version: z.string().describe("of the package"),
  isComplete: z.boolean().describe("false after an interruption, and while it is being measured"),
  budgetSeconds: positive,
  elapsedSeconds: positive,
  machine: z.strictObject({
    platform: z.string(),
    architecture: z.string(),
    runtime: z.string(),
    processor: z.string(),
    cores: z.int(),
    memoryBytes: positive,
  }),
  adapter: z.strictObject({
    name: z.string(),
    type: z.string(),
    backend: z.string(),
    driver: z.string(),
    vendor: z.string(),
    architecture: z.string(),
    subgroupSize: z.int().nullable().describe("null where it varies, or there are none"),
    subgroupRange: z.tuple([z.int(), z.int()]).nullable(),
    matrixConfigurations: z.array(z.string()).describe("of subgroup matrices, as the adapter lists them"),
    features: z.array(z.string()),
    limits: z.record(z.string(), z.number()),
  }),
  probes: z
    .strictObject({ gflops: positive, gigabytesPerSecond: positive })
    .nullable()
    .describe("what the simplest kernels reach: independent f32 multiply-adds, and a copy (bytes read and written)"),
  numbers: z
    .array(
      z.strictObject({
        operation: z.string(),
        variant: z.string().nullable().describe("null for an operation without variants"),
        tensor: z.string(),
        maxError: positive.describe("max |a − b| / max(|b|max, 1e-6) against float64"),
        bound: positive,
        pass: z.boolean(),
        error: z.string().nullable(),
      }),
    )
    .describe("kernels against float64"),
  variants: z.record(z.string(), z.array(z.string())).describe("all variants of this version, by operation"),
  operations: z.array(
    z.strictObject({
      operation: z.string(),
      key: z.string().describe("operation and class of shapes in the tuning table"),
      use: z.string().describe("where it stands in a model"),
      flops: positive,
      bytes: positive,
      builtIn: z.string().describe("the variant that is taken without a measurement"),
      fastest: z.string().nullable(),
      variants: z.array(variantSchema),
    }),
  ),
  tuning: z
    .strictObject({
      elapsedMs: positive,
      choices: z.array(z.strictObject({ key: z.string(), choice: z.string(), source: z.string() })),
    })
    .nullable()
    .describe("what the tuner makes of the train step of ti16 within its share of the time"),
  steps: z.array(stepSchema),
  notDone: z.array(z.strictObject({ section: z.string(), name: z.string(), reason: z.string() })),
});

export type GpuReport = z.infer<typeof gpuReportSchema>;
export type ReportedVariant = z.infer<typeof variantSchema>;
export type ReportedStep = z.infer<typeof stepSchema>;
export type ReportedOperation = GpuReport["operations"][number];
export type ReportedNumber = GpuReport["numbers"][number];
