import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import type { ImageSource } from "../../refiner/data/index.ts";
import {
  type BlockFeatures,
  type FeatureMatrix,
  type KMeans,
  type TestPredictions,
  unitRows,
} from "../../refiner/evaluation/index.ts";
import { writeTable } from "./prediction_files.ts";

/** The features that are clustered, their classes, and where their images are. */
export interface Clustered {
  readonly x: FeatureMatrix;
  /** -1 where there is none. */
  readonly labels: Int32Array;
  /** By label. */
  readonly classes: ReadonlyMap<number, string>;
  /** Per row. */
  readonly places: readonly ImagePlace[];
}

/** Where a row of the features comes from. */
export interface ImagePlace {
  readonly source: ImageSource;
  readonly index: number;
}

/** Features of one block of several sets of images, one below the other. */
export function clusteredImages(
  encoded: readonly BlockFeatures[],
  sources: readonly ImageSource[],
  classes: ReadonlyMap<number, string>,
  unitLength: boolean,
): Clustered {
  const x = joinedRows(encoded.flatMap(({ features }) => features.slice(0, 1)));
  return {
    x: unitLength ? unitRows(x) : x,
    labels: Int32Array.from(encoded.flatMap(({ labels }) => [...labels])),
    classes,
    places: encoded.flatMap(({ indices }, i) => {
      const source = sources[i];
      return source ? Array.from(indices, (index) => ({ source, index })) : [];
    }),
  };
}

/** Matrices of one width, one below the other. */
function joinedRows(parts: readonly FeatureMatrix[]): FeatureMatrix {
  const [{ columns } = { columns: 0 }] = parts;
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const data = new Float32Array(rows * columns);
  let at = 0;
  for (const part of parts) {
    data.set(part.data, at);
    at += part.data.length;
  }
  return { rows, columns, data };
}

/** Every labelled image as of the class that its cluster is matched to. */
export function clusterPredictions(
  labels: Int32Array,
  classes: ReadonlyMap<number, string>,
  { assignment }: KMeans,
  classOfCluster: Int32Array,
  places: readonly ImagePlace[],
): TestPredictions {
  const rows = Array.from(labels.keys()).filter((row) => (labels[row] ?? -1) >= 0);
  const most = [...classes.keys()].reduce((largest, label) => Math.max(largest, label), -1);
  return {
    indices: Uint32Array.from(rows, (row) => places[row]?.index ?? 0),
    labels: rows.map((row) => labels[row] ?? -1),
    predicted: rows.map((row) => classOfCluster[assignment[row] ?? 0] ?? -1),
    classNames: Array.from({ length: most + 1 }, (_, label) => classes.get(label) ?? String(label)),
  };
}

/** Writes the path and the cluster of every image. */
export async function writeAssignments(path: string, { places }: Clustered, { assignment }: KMeans): Promise<void> {
  const rows = places.map(({ source, index }, row) => [source.name(index), assignment[row] ?? 0]);
  await writeFileAtomic(path, (sink) => writeTable(sink, [["path", "cluster"], ...rows]), { overwrite: true });
}
