import type { Contingency } from "./contingency.ts";

/**
 * The assignment of rows to columns of least total cost, by shortest augmenting paths with dual prices (Kuhn's
 * Hungarian method in the O(n³) form of Jonker and Volgenant).
 *
 * @param cost - square, `[size, size]`, row-major, finite
 * @returns the column of each row
 */
export function leastCostMatching(cost: Float64Array, size: number): Int32Array {
  const rowPrice = new Float64Array(size);
  const columnPrice = new Float64Array(size);
  const rowOfColumn = new Int32Array(size).fill(-1);
  const columnOfRow = new Int32Array(size).fill(-1);
  for (let root = 0; root < size; root++) {
    const { columns, previousRow, length } = shortestPath(root);
    rowPrice[root] = (rowPrice[root] ?? 0) + length;
    for (const { column, distance } of columns) {
      columnPrice[column] = (columnPrice[column] ?? 0) - (length - distance);
      const row = rowOfColumn[column] ?? -1;
      if (row >= 0) rowPrice[row] = (rowPrice[row] ?? 0) + (length - distance);
    }
    augment(columns[columns.length - 1]?.column ?? 0, previousRow);
  }
  return columnOfRow;

  // Dijkstra over reduced costs from an unmatched row; `columns` in the order reached, the last one is unmatched.
  function shortestPath(root: number) {
    const distances = new Float64Array(size).fill(Number.MAX_VALUE);
    const previousRow = new Int32Array(size);
    const reached = new Uint8Array(size);
    const columns: { column: number; distance: number }[] = [];
    let row = root;
    let travelled = 0;
    for (;;) {
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
      travelled = distances[nearest] ?? 0;
      reached[nearest] = 1;
      columns.push({ column: nearest, distance: travelled });
      row = rowOfColumn[nearest] ?? -1;
      if (row < 0) return { columns, previousRow, length: travelled };
    }
  }

  // Turns the path over: every row on it takes the column that it was reached through, and frees its own.
  function augment(freeColumn: number, previousRow: Int32Array): void {
    for (let column = freeColumn; column >= 0; ) {
      const row = previousRow[column] ?? 0;
      const freed = columnOfRow[row] ?? -1;
      rowOfColumn[column] = row;
      columnOfRow[row] = column;
      column = freed;
    }
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
