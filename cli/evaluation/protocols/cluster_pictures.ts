import { type KMeans, nearestMembers } from "../../../refiner/evaluation/index.ts";
import type { EvaluationData, ReportPicture } from "../../../refiner/report/index.ts";
import { pngDataUrl } from "../../../refiner/report/report_node.ts";
import type { Clustered, ImagePlace } from "../clustered_images.ts";

/** Clusters with a sheet, the largest first, and images of each. */
const mostSheets = 48;
const mostPictures = 10;
/** Longer side of a picture, in pixels. */
const picturePixels = 64;

/** Contact sheets of the largest clusters. */
export async function contactSheets(
  { x, labels, classes, places }: Clustered,
  found: KMeans,
): Promise<Pick<EvaluationData, "sheets" | "clustersLeftOut">> {
  const sizes = new Uint32Array(found.centroids.rows);
  for (const cluster of found.assignment) sizes[cluster] = (sizes[cluster] ?? 0) + 1;
  const nearest = nearestMembers(x, found, mostPictures);
  const order = [...sizes.keys()].sort((a, b) => (sizes[b] ?? 0) - (sizes[a] ?? 0) || a - b);
  const sheets: EvaluationData["sheets"] = [];
  for (const cluster of order.slice(0, mostSheets)) {
    const pictures: ReportPicture[] = [];
    for (const row of nearest[cluster] ?? []) {
      const place = places[row];
      if (place) pictures.push(await pictureOf(place, classes.get(labels[row] ?? -1)));
    }
    const most = mostFrequent(cluster, found.assignment, labels, classes);
    sheets.push({ cluster, images: sizes[cluster] ?? 0, pictures, ...(most ? { most } : {}) });
  }
  return { sheets, clustersLeftOut: Math.max(0, order.length - mostSheets) };
}

async function pictureOf({ source, index }: ImagePlace, label: string | undefined): Promise<ReportPicture> {
  const image = await source.load(index, { resizeTo: picturePixels });
  return { src: await pngDataUrl(image, picturePixels), label: label ?? source.name(index).replace(/^.*\//, "") };
}

/** The class that most labelled images of a cluster have; of equals the first. */
function mostFrequent(
  cluster: number,
  assignment: Int32Array,
  labels: Int32Array,
  classes: ReadonlyMap<number, string>,
): { readonly label: string; readonly share: number } | undefined {
  const counts = new Map<number, number>();
  for (const [row, own] of assignment.entries()) {
    const label = labels[row] ?? -1;
    if (own === cluster && label >= 0) counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([a, m], [b, n]) => n - m || a - b);
  if (!most) return undefined;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { label: classes.get(most[0]) ?? String(most[0]), share: most[1] / total };
}
