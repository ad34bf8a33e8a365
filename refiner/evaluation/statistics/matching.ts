import type { Contingency } from "./contingency.ts";

/**
 * The assignment of rows to columns of least total cost, by shortest augmenting paths with dual prices (Kuhn's
 * Hungarian method in the O(n³) form of Jonker and Volgenant).
 *
 * @param cost - square, `[size, size]`, row-major, finite
 * @returns the column of each row
 */
export function leastCostMatching(cost: Float64Array, size: number): Int32Array {
  const matching: Matching = {
    cost,
    size,
    rowPrice: new Float64Array(size),
    columnPrice: new Float64Array(size),
    rowOfColumn: new Int32Array(size).fill(-1),
    columnOfRow: new Int32Array(size).fill(-1),
  };
  for (let root = 0; root < size; root++) {
    const path = shortestPath(matching, root);
    raisePrices(matching, root, path);
    augment(matching, path);
  }
  return matching.columnOfRow;
}

/** A partial matching, -1 for unmatched, with the prices that prove it the best of its size. */
interface Matching {
  readonly cost: Float64Array;
  readonly size: number;
  readonly rowPrice: Float64Array;
  readonly columnPrice: Float64Array;
  readonly rowOfColumn: Int32Array;
  readonly columnOfRow: Int32Array;
}

interface Path {
  /** In the order reached; the last one is unmatched. */
  readonly columns: readonly { readonly column: number; readonly distance: number }[];
  /** The row that each column was reached from. */
  readonly previousRow: Int32Array;
  readonly length: number;
}

/** Dijkstra over reduced costs from an unmatched row. */
function shortestPath(matching: Matching, root: number): Path {
  const { size, rowOfColumn } = matching;
  const search = {
    distances: new Float64Array(size).fill(Number.MAX_VALUE),
    previousRow: new Int32Array(size),
    reached: new Uint8Array(size),
  };
  const columns: { column: number; distance: number }[] = [];
  let row = root;
  let travelled = 0;
  for (;;) {
    const nearest = nearestColumn(matching, search, row, travelled);
    travelled = search.distances[nearest] ?? 0;
    search.reached[nearest] = 1;
    columns.push({ column: nearest, distance: travelled });
    row = rowOfColumn[nearest] ?? -1;
    if (row < 0) return { columns, previousRow: search.previousRow, length: travelled };
  }
}

/** Extends the paths by `row`. @returns the nearest column that was not reached yet */
function nearestColumn(
  { cost, size, rowPrice, columnPrice }: Matching,
  search: { readonly distances: Float64Array; readonly previousRow: Int32Array; readonly reached: Uint8Array },
  row: number,
  travelled: number,
): number {
  const { distances, previousRow, reached } = search;
  let nearest = -1;
  for (let column = 0; column < size; column++) {
    if (reached[column]) continue;
    const reduced = (cost[row * size + column] ?? 0) - (rowPrice[row] ?? 0) - (columnPrice[column] ?? 0);
    if (travelled + reduced < (distances[column] ?? 0)) {
      distances[column] = travelled + reduced;
      previousRow[column] = row;
    }
    if (nearest < 0 || (distances[column] ?? 0) < (distances[nearest] ?? 0)) nearest = column;
  }
  return nearest;
}

/** Keeps reduced costs from falling below zero, and those on the path at zero. */
function raisePrices({ rowPrice, columnPrice, rowOfColumn }: Matching, root: number, { columns, length }: Path): void {
  rowPrice[root] = (rowPrice[root] ?? 0) + length;
  for (const { column, distance } of columns) {
    columnPrice[column] = (columnPrice[column] ?? 0) - (length - distance);
    const row = rowOfColumn[column] ?? -1;
    if (row >= 0) rowPrice[row] = (rowPrice[row] ?? 0) + (length - distance);
  }
}

/** Turns the path over: every row on it takes the column that it was reached through, and frees its own. */
function augment({ rowOfColumn, columnOfRow }: Matching, { columns, previousRow }: Path): void {
  for (let column = columns.at(-1)?.column ?? 0; column >= 0; ) {
    const row = previousRow[column] ?? 0;
    const freed = columnOfRow[row] ?? -1;
    rowOfColumn[column] = row;
    columnOfRow[row] = column;
    column = freed;
  }
}

/**
 * Clustering accuracy: the share of samples in the class that their cluster is matched to, under the best one-to-one
 * matching of clusters to classes. Clusters without a class count as wrong.
 *
 * @returns accuracy 0 … 1, and the class of each cluster (-1 for none)
 */
export function matchingAccuracy(table: Contingency): { accuracy: number; classOfCluster: Int32Array } {
  const { clusters, classes, counts, total } = table;
  const size = Math.max(clusters, classes);
  const cost = new Float64Array(size * size);
  for (let cluster = 0; cluster < clusters; cluster++) {
    for (let label = 0; label < classes; label++)
      cost[cluster * size + label] = -(counts[cluster * classes + label] ?? 0);
  }
  const matched = leastCostMatching(cost, size).subarray(0, clusters);
  const correct = matched.reduce((sum, label, cluster) => sum - (cost[cluster * size + label] ?? 0), 0);
  return { accuracy: correct / total, classOfCluster: matched.map((label) => (label < classes ? label : -1)) };
}
