import { add, type Device, type RecordedProgram, recordProgram, type Tensor } from "../../../engine/index.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import { checkGroups, silhouetteOf } from "../statistics/separation.ts";
import { type GroupTiles, groupDistances, tileRows } from "./group_distances.ts";

/** Values of one chunk on its way to the host. */
const valuesPerRun = 2 ** 22;
const queriesPerRun = 4096;
/** Bytes of the tiles that one launch sees; a launch of more could trip a GPU's watchdog. */
const tileBytesPerPart = 2 ** 25;

export interface DeviceSilhouetteOptions {
  readonly signal?: AbortSignal;
  /** Rows done so far. */
  readonly onProgress?: (rows: number) => void;
}

/**
 * Silhouette of each sample by Euclidean distances, as `silhouetteSamples`, with the distances of rows² pairs computed on the device in
 * float32 and summed per group there. Memory on the device is that of the features, on either side one chunk; no distance is stored.
 *
 * @param labels - group of each row, from 0; numbers may be left out
 * @returns `[rows]`, each -1 … 1
 * @throws EvaluationError unless there are at least 2 groups and fewer groups than rows, or a feature is not finite
 */
export async function silhouetteSamplesOnDevice(
  device: Device,
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  options: DeviceSilhouetteOptions = {},
): Promise<Float64Array> {
  const { sizes } = checkGroups("silhouette", x, labels);
  const used = Array.from(sizes.keys()).filter((group) => (sizes[group] ?? 0) > 0);
  const parts = tiledParts(device, x, labels, used);
  const count = 4 * Math.ceil(Math.min(queriesPerRun, x.rows, Math.max(4, valuesPerRun / used.length)) / 4);
  const program = distanceProgram(device, x.columns, count, parts);
  const silhouettes = new Float64Array(x.rows);
  const sums = new Float64Array(sizes.length);
  try {
    for (let from = 0; from < x.rows; from += count) {
      options.signal?.throwIfAborted();
      const rows = Math.min(count, x.rows - from);
      const found = await (await program.run({ queries: columnsOf(x, from, rows, count) }, ["sums"])).read();
      for (let row = 0; row < rows; row++) {
        used.forEach((group, place) => {
          sums[group] = found.sums?.[place * count + row] ?? 0;
        });
        silhouettes[from + row] = silhouetteOf(sums, sizes, labels[from + row] ?? 0);
      }
      options.onProgress?.(from + rows);
    }
  } finally {
    program.destroy();
    for (const part of parts) for (const tensor of [part.tiles, part.starts, part.filled]) tensor.destroy();
  }
  return silhouettes;
}

/** Rows of a tile: all of one group. */
interface Tile {
  readonly group: number;
  readonly rows: readonly number[];
}

/** All rows on the device, group by group, in parts that one launch each sees. */
function tiledParts(
  device: Device,
  x: FeatureMatrix,
  labels: ArrayLike<number>,
  used: readonly number[],
): GroupTiles[] {
  const tiles = tilesOf(labels, used);
  const perPart = Math.max(1, Math.floor(tileBytesPerPart / (4 * tileRows * x.columns)));
  const parts: GroupTiles[] = [];
  for (let from = 0; from < tiles.length; from += perPart) {
    const own = tiles.slice(from, from + perPart);
    const values = new Float32Array(own.length * x.columns * tileRows);
    const filled = new Uint32Array(own.length);
    const starts = new Uint32Array(used.length + 1);
    own.forEach(({ group, rows }, at) => {
      filled[at] = rows.length;
      starts[group + 1] = at + 1;
      rows.forEach((row, place) => {
        copyColumn(x, row, values.subarray(at * x.columns * tileRows), place, tileRows);
      });
    });
    // A group without tiles here begins and ends where the one before it ends.
    for (let group = 0; group < used.length; group++)
      starts[group + 1] = Math.max(starts[group + 1] ?? 0, starts[group] ?? 0);
    parts.push({
      tiles: device.tensor(values, [own.length, x.columns, tileRows], "f32", "tiles"),
      starts: device.tensor(starts, [starts.length], "u32", "starts"),
      filled: device.tensor(filled, [filled.length], "u32", "filled"),
    });
  }
  return parts;
}

/** @returns tiles by ascending group, which is counted in `used` */
function tilesOf(labels: ArrayLike<number>, used: readonly number[]): Tile[] {
  const places = new Map(used.map((group, place) => [group, place]));
  const members: number[][] = used.map(() => []);
  for (let row = 0; row < labels.length; row++) members[places.get(labels[row] ?? 0) ?? 0]?.push(row);
  return members.flatMap((rows, group) =>
    Array.from({ length: Math.ceil(rows.length / tileRows) }, (_, tile) => ({
      group,
      rows: rows.slice(tile * tileRows, (tile + 1) * tileRows),
    })),
  );
}

function distanceProgram(
  device: Device,
  columns: number,
  count: number,
  parts: readonly GroupTiles[],
): RecordedProgram<Record<string, Tensor>> {
  return recordProgram<Record<string, Tensor>>(
    device,
    (p) => {
      const queries = p.input("queries", [columns, count]);
      const sums = parts.map((part) => groupDistances(queries, part)).reduce((total, some) => add(total, some));
      return { sums };
    },
    { name: "silhouette", inference: true },
  );
}

/** Rows as columns, `[columns, count]`; zeros behind the last. */
function columnsOf(x: FeatureMatrix, from: number, rows: number, count: number): Float32Array {
  const values = new Float32Array(x.columns * count);
  for (let row = 0; row < rows; row++) copyColumn(x, from + row, values, row, count);
  return values;
}

function copyColumn(x: FeatureMatrix, row: number, into: Float32Array, place: number, stride: number): void {
  for (let column = 0; column < x.columns; column++)
    into[column * stride + place] = x.data[row * x.columns + column] ?? 0;
}
