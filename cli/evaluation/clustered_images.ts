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

/** The features that are clustered, their classes, and the names of their images. */
export interface Clustered {
  readonly x: FeatureMatrix;
  /** -1 where there is none. */
  readonly labels: Int32Array;
  /** By label. */
  readonly classes: ReadonlyMap<number, string>;
  readonly names: readonly string[];
  /** Places in their source. */
  readonly indices: Uint32Array;
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
    indices: Uint32Array.from(encoded.flatMap(({ indices }) => [...indices])),
    names: encoded.flatMap(({ indices }, i) => Array.from(indices, (index) => sources[i]?.name(index) ?? "")),
  };
}

/** Matrices of one width, one below the other. */
export function joinedRows(parts: readonly FeatureMatrix[]): FeatureMatrix {
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
  indices: Uint32Array,
): TestPredictions {
  const rows = Array.from(labels.keys()).filter((row) => (labels[row] ?? -1) >= 0);
  const most = Math.max(...classes.keys());
  return {
    indices: Uint32Array.from(rows, (row) => indices[row] ?? 0),
    labels: rows.map((row) => labels[row] ?? -1),
    predicted: rows.map((row) => classOfCluster[assignment[row] ?? 0] ?? -1),
    classNames: Array.from({ length: most + 1 }, (_, label) => classes.get(label) ?? String(label)),
  };
}

/** Writes the path and the cluster of every image. */
export async function writeAssignments(path: string, { names }: Clustered, { assignment }: KMeans): Promise<void> {
  const rows = names.map((name, row) => [name, assignment[row] ?? 0]);
  await writeFileAtomic(path, (sink) => writeTable(sink, [["path", "cluster"], ...rows]), { overwrite: true });
}
