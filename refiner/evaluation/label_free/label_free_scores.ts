import { type Device, DeviceMixError } from "../../../engine/index.ts";
import type { VisionTransformer } from "../../../models/index.ts";
import { type ImageBatch, orderedBatches } from "../../data/batches/batches.ts";
import type { ImageSource } from "../../data/image_source.ts";
import { BrokenImages, subset } from "../../data/index.ts";
import { EvaluationError } from "../core/errors.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import type { FeatureBlock } from "../features/feature_blocks.ts";
import { FeatureExtractor, type FeatureOptions } from "../features/feature_extractor.ts";
import { checkFiniteRows } from "../features/finite_rows.ts";
import { matchChannels } from "../features/match_channels.ts";
import { RandomViews } from "../features/random_views.ts";
import { lidar, rankMe } from "./effective_rank.ts";
import { neighbourAgreement } from "./neighbour_agreement.ts";

export interface LabelFreeOptions extends Pick<FeatureOptions, "blocks" | "pooling" | "imagePixels"> {
  /** Images that are looked at, evenly spread over the source; default 1000, as LiDAR. */
  readonly images?: number;
  /** Random views of each, at least two; default 8. With few of them LiDAR is too high, most where views change much; its paper takes 50. */
  readonly views?: number;
  /** Neighbours whose agreement is measured; default 10, or all others where there are fewer. */
  readonly neighbours?: number;
  readonly seed?: number;
  /** Images decoded together; changes speed and memory only. Default 32. */
  readonly batch?: number;
  /** Largest accepted share of broken images. */
  readonly maxBad?: number;
  readonly onBroken?: (error: Error) => void;
  readonly signal?: AbortSignal;
  /** Images encoded so far, in all their views. */
  readonly onProgress?: (images: number, total: number) => void;
}

/** What is known of an encoder's blocks without labels; of all, higher is better. */
export interface LabelFreeScores {
  readonly blocks: readonly FeatureBlock[];
  /** Images that were looked at. */
  readonly images: number;
  /** Per block, of all views. */
  readonly rankMe: readonly number[];
  /** Per block. */
  readonly lidar: readonly number[];
  /** Per block, between the first two views of each image. */
  readonly neighbourAgreement: readonly number[];
}

/**
 * RankMe, LiDAR and neighbour agreement of every block (or of the chosen ones) on random views of some images: crops of 8 to 100 % of the
 * area, mirrored or not. Labels have no part in it. Host memory is that of the features of all views and blocks.
 *
 * @throws DeviceMixError if the model lives on another device
 * @throws EvaluationError for fewer than two images or views, or features that are not finite or all equal
 * @throws TooManyBrokenImagesError above `maxBad`
 */
export async function labelFreeScores(
  device: Device,
  model: VisionTransformer,
  source: ImageSource,
  options: LabelFreeOptions = {},
): Promise<LabelFreeScores> {
  const { views = 8, neighbours = 10 } = options;
  if (model.device !== device)
    throw new DeviceMixError(
      "labelFreeScores: the model lives on another device; give the device that it was loaded on",
    );
  if (!Number.isInteger(views) || views < 2)
    throw new EvaluationError(`labelFreeScores: ${views} views of each image; give 2 or more`);
  const encoded = await encodeViews(model, source, { ...options, views });
  const { images } = encoded;
  if (images < 2) throw new EvaluationError(`labelFreeScores: ${images} images could be read; give 2 or more`);
  const groups = Uint32Array.from({ length: images * views }, (_, row) => Math.floor(row / views));
  const scores = { rankMe: [] as number[], lidar: [] as number[], neighbourAgreement: [] as number[] };
  for (const x of encoded.features) {
    options.signal?.throwIfAborted();
    scores.rankMe.push(rankMe(x));
    scores.lidar.push(lidar(x, groups));
    const [first, second] = [viewOf(x, views, 0), viewOf(x, views, 1)];
    scores.neighbourAgreement.push(await neighbourAgreement(device, first, second, Math.min(neighbours, images - 1)));
  }
  return { blocks: encoded.blocks, images, ...scores };
}

interface EncodedViews {
  readonly blocks: readonly FeatureBlock[];
  readonly images: number;
  /** Per block `[images · views, width]`; the views of an image follow each other. */
  readonly features: readonly FeatureMatrix[];
}

async function encodeViews(
  model: VisionTransformer,
  source: ImageSource,
  {
    images: wanted = 1000,
    views,
    seed = 0,
    batch: batchSize = 32,
    ...options
  }: LabelFreeOptions & { readonly views: number },
): Promise<EncodedViews> {
  const { signal, onProgress, maxBad, onBroken, blocks: named, pooling, imagePixels } = options;
  const like = new FeatureExtractor(model, {
    ...(named === undefined ? {} : { blocks: named }),
    ...(pooling === undefined ? {} : { pooling }),
    ...(imagePixels === undefined ? {} : { imagePixels }),
  });
  const { blocks, width } = like;
  const chosen = matchChannels(subset(source, evenly(source.length, wanted)), like.channels);
  const random = new RandomViews(model, chosen, like);
  const data = blocks.map(() => new Float32Array(chosen.length * views * width));
  const broken = new BrokenImages(chosen.length, {
    ...(maxBad === undefined ? {} : { maxBad }),
    ...(onBroken ? { onBroken } : {}),
  });
  let images = 0;
  const add = async (batch: ImageBatch): Promise<void> => {
    for (let view = 0; view < views; view++) {
      const rows = await random.rows(batch, seed, view);
      checkFiniteRows(rows, batch.images.length);
      for (const [i, values] of rows.entries())
        for (let image = 0; image < batch.images.length; image++)
          data[i]?.set(values.subarray(image * width, (image + 1) * width), ((images + image) * views + view) * width);
    }
    images += batch.images.length;
    onProgress?.(images, chosen.length);
  };
  try {
    const reading = { batchSize, resizeTo: random.resizeTo, broken, ...(signal ? { signal } : {}) };
    for await (const batch of orderedBatches(chosen, reading)) if (batch.images.length > 0) await add(batch);
    broken.check();
  } finally {
    random.destroy();
    like.destroy();
  }
  const rows = images * views;
  return {
    blocks,
    images,
    features: data.map((values) => ({ rows, columns: width, data: values.subarray(0, rows * width) })),
  };
}

/** Places spread evenly over all. */
function evenly(length: number, wanted: number): Uint32Array {
  const count = Math.min(wanted, length);
  return Uint32Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * length) / count));
}

/** One view of every image. */
function viewOf({ rows, columns, data }: FeatureMatrix, views: number, view: number): FeatureMatrix {
  const images = rows / views;
  const chosen = new Float32Array(images * columns);
  for (let image = 0; image < images; image++) {
    const row = image * views + view;
    chosen.set(data.subarray(row * columns, (row + 1) * columns), image * columns);
  }
  return { rows: images, columns, data: chosen };
}
