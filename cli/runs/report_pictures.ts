import type { Device } from "../../engine/index.ts";
import type { VisionTransformer } from "../../models/index.ts";
import { type ImageSource, subset } from "../../refiner/data/index.ts";
import { type EncodeOptions, encodeFeatures } from "../../refiner/evaluation/index.ts";
import { nearestGalleries, patchMaps, type ReportData } from "../../refiner/report/index.ts";
import { reportPictures } from "../../refiner/report/report_node.ts";

const bankImages = 512;
const queryImages = 6;

/**
 * Pictures for the report: nearest training images of some held-out ones, and their patch features, before and after. Images are
 * taken evenly from the whole sets, since folders are sorted by class; broken ones are left out.
 */
export async function picturesOf(
  device: Device,
  models: { readonly before: VisionTransformer; readonly after: VisionTransformer },
  images: { readonly train: ImageSource; readonly test: ImageSource },
  options: Pick<EncodeOptions, "pooling"> = {},
): Promise<Pick<ReportData, "galleries" | "patchMaps" | "featureNote">> {
  const bank = spreadOver(images.train, bankImages);
  const queries = spreadOver(images.test, queryImages);
  const blocks = ["last"] as const;
  const side = async (model: VisionTransformer) => ({
    bank: await encodeFeatures(device, model, bank, { ...options, blocks, maxBad: 1 }),
    queries: await encodeFeatures(device, model, queries, { ...options, blocks, maxBad: 1 }),
  });
  const before = await side(models.before);
  const galleries = await nearestGalleries(device, { bank, queries }, before, await side(models.after), {
    queries: queries.length,
  });
  const maps = await patchMaps(device, models, queries, [...before.queries.indices]);
  const pooled = options.pooling === "avg" || models.before.config.classTokens === 0 ? "mean patch" : "class token";
  const featureNote = `${pooled} of the final output, among ${bank.length} training images`;
  return { ...(await reportPictures(galleries, maps)), featureNote };
}

/** Images at equal distances, or all if there are fewer. */
function spreadOver(source: ImageSource, count: number): ImageSource {
  const length = Math.min(count, source.length);
  return subset(
    source,
    Array.from({ length }, (_, i) => Math.floor(((i + 0.5) * source.length) / length)),
  );
}

/** The first images of a source, or all if there are fewer. */
export function firstOf(source: ImageSource, count: number): ImageSource {
  return subset(
    source,
    Array.from({ length: Math.min(count, source.length) }, (_, i) => i),
  );
}
