import type { Device } from "../../engine/index.ts";
import type { ImageSource, RgbImage } from "../data/image_source.ts";
import {
  type BlockFeatures,
  EvaluationError,
  type FeatureMatrix,
  featureStatistics,
  NeighbourBank,
  standardise,
} from "../evaluation/index.ts";

/** An image beside its label and, for a neighbour, its similarity to the query. */
export interface GalleryPicture {
  readonly image: RgbImage;
  readonly label: string;
  readonly similarity?: number;
  /** Whether it has the query's class; absent without labels. */
  readonly sameClass?: boolean;
}

/** A query with its nearest images under two encoders. */
export interface Gallery {
  readonly query: GalleryPicture;
  readonly before: readonly GalleryPicture[];
  readonly after: readonly GalleryPicture[];
}

export interface GalleryOptions {
  /** Queries, spread evenly over the test images; default 6. */
  readonly queries?: number;
  /** Nearest images per query; default 8. */
  readonly neighbours?: number;
}

/** Images and their features under one encoder; the last block is shown. */
export interface GallerySide {
  readonly bank: BlockFeatures;
  readonly queries: BlockFeatures;
}

/**
 * Nearest training images of some test images before and after refinement, by cosine similarity of standardised features of the
 * last block.
 *
 * @param before, after - features of the same images, as `encodeFeatures` gives them
 */
export async function nearestGalleries(
  device: Device,
  sources: { readonly bank: ImageSource; readonly queries: ImageSource },
  before: GallerySide,
  after: GallerySide,
  options: GalleryOptions = {},
): Promise<Gallery[]> {
  const { queries = 6, neighbours = 8 } = options;
  const count = Math.min(queries, before.queries.indices.length);
  const chosen = Array.from({ length: count }, (_, i) =>
    Math.floor(((i + 0.5) * before.queries.indices.length) / count),
  );
  const [old, refined] = [
    await listsOf(device, before, chosen, neighbours),
    await listsOf(device, after, chosen, neighbours),
  ];
  const galleries: Gallery[] = [];
  for (const [i, row] of chosen.entries()) {
    const index = before.queries.indices[row] ?? 0;
    const query = await pictureOf(sources.queries, index);
    const ownClass = sources.queries.label(index);
    const strip = (list: Listed[] | undefined) =>
      Promise.all((list ?? []).map(({ index, similarity }) => pictureOf(sources.bank, index, similarity, ownClass)));
    galleries.push({ query, before: await strip(old[i]), after: await strip(refined[i]) });
  }
  return galleries;
}

interface Listed {
  readonly index: number;
  readonly similarity: number;
}

async function listsOf(device: Device, side: GallerySide, rows: readonly number[], k: number): Promise<Listed[][]> {
  const [bank, queries] = [side.bank.features.at(-1), side.queries.features.at(-1)];
  if (!bank || !queries) throw new EvaluationError("galleries: no features; encode at least one block");
  const statistics = featureStatistics(bank);
  const search = new NeighbourBank(device, standardise(bank, statistics), Math.min(k, bank.rows));
  try {
    const found = await search.search(standardise(rowsOf(queries, rows), statistics));
    return rows.map((_, i) =>
      Array.from({ length: found.k }, (_, rank) => ({
        index: side.bank.indices[found.indices[i * found.k + rank] ?? 0] ?? 0,
        similarity: found.similarities[i * found.k + rank] ?? 0,
      })),
    );
  } finally {
    search.destroy();
  }
}

function rowsOf({ columns, data }: FeatureMatrix, rows: readonly number[]): FeatureMatrix {
  const picked = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => {
    picked.set(data.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return { rows: rows.length, columns, data: picked };
}

async function pictureOf(
  source: ImageSource,
  index: number,
  similarity?: number,
  queryClass?: number,
): Promise<GalleryPicture> {
  const label = source.label(index);
  const own = label === undefined ? source.name(index) : (source.classNames?.[label] ?? String(label));
  const isKnown = similarity !== undefined && queryClass !== undefined && label !== undefined;
  return {
    image: await source.load(index, { resizeTo: 96 }),
    label: own,
    ...(similarity === undefined ? {} : { similarity }),
    ...(isKnown ? { sameClass: label === queryClass } : {}),
  };
}
