import { z } from "zod";
import type { EvaluationReport } from "./evaluation_report.ts";
import { publishedTableSchema } from "./published_section.ts";
import type { RunMetrics } from "./run_metrics.ts";

export const pictureSchema = z.object({
  /** PNG, JPEG or WebP as a data URL: a report loads nothing from elsewhere. */
  src: z
    .string()
    .regex(/^data:image\/(png|jpeg|webp);base64,[A-Za-z0-9+/=]+$/, "expected a PNG, JPEG or WebP data URL"),
  /** What it shows: class or file name. */
  label: z.string(),
  similarity: z.number().optional(),
  /** Whether it has the query's class; absent without labels. */
  sameClass: z.boolean().optional(),
});

const statesSchema = z.object({ before: pictureSchema, after: pictureSchema });

/** Schema of `report_data.json`: what the report shows beside the configuration and the metrics. */
export const reportDataSchema = z.object({
  /** Queries with their nearest images before and after refinement. */
  galleries: z
    .array(z.object({ query: pictureSchema, before: z.array(pictureSchema), after: z.array(pictureSchema) }))
    .default([]),
  /** Patch features as colours, before and after; of some images the class token's mean attention, too. */
  patchMaps: z
    .array(z.object({ image: pictureSchema, ...statesSchema.shape, attention: statesSchema.optional() }))
    .default([]),
  /** What the two above were computed from, such as "class token of the last block". */
  featureNote: z.string().optional(),
  /** Numbers of the paper beside the run's own, where it has some for the same images and encoder. */
  published: z.array(publishedTableSchema).default([]),
  device: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
  timings: z.array(z.object({ name: z.string(), seconds: z.number() })).default([]),
  /** Planned device memory. */
  memoryPlan: z.array(z.object({ name: z.string(), bytes: z.number() })).default([]),
});

export type ReportPicture = z.output<typeof pictureSchema>;
export type ReportData = z.output<typeof reportDataSchema>;

/** A run as the report shows it. */
export interface RunRecord {
  /** What to call the run: its folder. */
  readonly name: string;
  /** Content of `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly metrics: RunMetrics;
  readonly data: ReportData;
  /** Of the encoders that it began with and gave. */
  readonly evaluations?: readonly EvaluationReport[];
}
