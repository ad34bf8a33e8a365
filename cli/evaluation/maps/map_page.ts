import type { RgbImage } from "../../../refiner/data/index.ts";
import { type AttentionMap, enlargedMap, greyLevels, type PictureSize } from "../../../refiner/evaluation/index.ts";
import type { AttentionReport, ReportPicture } from "../../../refiner/report/index.ts";
import { pngDataUrl } from "../../../refiner/report/report_node.ts";
import { headOf } from "./map_files.ts";

export type MapPageImage = AttentionReport["images"][number];

/** Images that the page shows: with 32 heads each they take some megabytes. */
export const mostShown = 24;
/** Longer side of the page's pictures, in pixels. */
const shownPixels = 224;

/** The pictures of one image for the page. */
export async function pageImage(
  label: string,
  {
    image,
    map,
    principal,
  }: {
    readonly image: RgbImage;
    readonly map: AttentionMap | undefined;
    readonly principal: RgbImage | undefined;
  },
): Promise<MapPageImage> {
  const factor = Math.min(1, shownPixels / Math.max(image.width, image.height));
  const size = {
    width: Math.max(1, Math.round(factor * image.width)),
    height: Math.max(1, Math.round(factor * image.height)),
  };
  const heads: ReportPicture[] = [];
  for (let head = 0; map && head < map.heads; head++)
    heads.push(await greyPicture(headOf(map, head), map, size, `head ${head}`));
  return {
    image: { src: await pngDataUrl(image, shownPixels), label },
    heads,
    onPatches: map ? sharesOnPatches(map) : [],
    ...(map ? { mean: await greyPicture(map.mean, map, size, "mean over the heads") } : {}),
    ...(principal
      ? { principal: { src: await pngDataUrl(enlargedMap(principal, size), shownPixels), label: "components" } }
      : {}),
  };
}

/** Share of each head's attention that lies on patches. */
export function sharesOnPatches(map: AttentionMap): number[] {
  return Array.from({ length: map.heads }, (_, head) => headOf(map, head).reduce((sum, weight) => sum + weight, 0));
}

async function greyPicture(
  values: Float32Array,
  grid: AttentionMap,
  size: PictureSize,
  label: string,
): Promise<ReportPicture> {
  const data = Uint8Array.from(greyLevels(values, grid, size, 255));
  return { src: await pngDataUrl({ ...size, channels: 1, data }, shownPixels), label };
}
