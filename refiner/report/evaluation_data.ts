import { z } from "zod";
import { pictureSchema } from "./report_data.ts";

const count = z.int().min(0);
const nullableNumber = z.number().nullable();

/** Schema of `evaluation_data.json`: what the page of an evaluation shows beside its receipts. */
export const evaluationDataSchema = z.object({
  /** Differences of the second encoder's scores to the first's, where they were measured image by image. */
  differences: z
    .array(
      z.object({
        name: z.string(),
        difference: z.number(),
        standardError: nullableNumber,
        how: z.enum(["paired", "independent"]),
      }),
    )
    .default([]),
  /** Clusters with their images nearest to the centre. */
  sheets: z
    .array(
      z.object({
        cluster: count,
        images: count,
        /** Most frequent class and the share of the cluster's labelled images that have it; absent without labels. */
        most: z.object({ label: z.string(), share: z.number() }).optional(),
        pictures: z.array(pictureSchema),
      }),
    )
    .default([]),
  /** Clusters that have no sheet. */
  clustersLeftOut: count.default(0),
  /** Inertia and silhouette by number of clusters. */
  curve: z.array(z.object({ clusters: count, inertia: z.number(), silhouette: z.number().optional() })).default([]),
  /** Test images with predicted and true classes as colours over them. */
  overlays: z.array(z.object({ image: pictureSchema, predicted: pictureSchema, truth: pictureSchema })).default([]),
  /** Segmentation classes: stored number, intersection over union (null where it occurs nowhere), pixels, colour in the overlays. */
  classes: z
    .array(
      z.object({
        stored: z.int(),
        iou: nullableNumber,
        labelled: count,
        predicted: count,
        colour: z.string().regex(/^#[0-9a-f]{6}$/),
      }),
    )
    .default([]),
});
export type EvaluationData = z.output<typeof evaluationDataSchema>;

/** What the page shows of one encoder. */
export interface ShownEncoder {
  readonly name: string;
  readonly data: EvaluationData;
}
