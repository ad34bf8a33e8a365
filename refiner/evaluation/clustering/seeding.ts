import { matmul, type RecordedProgram, recordProgram, type Tensor } from "../../../engine/index.ts";
import { RandomStream } from "../../data/batches/shuffle_random.ts";
import type { FeatureMatrix } from "../core/feature_matrix.ts";
import type { ScaledRows } from "./scaled_rows.ts";

/** Starts that are drawn at once; all of them share one look at the features per centroid. */
const startsAtOnce = 16;
/** Squared distances of float32 products that are below this share of both lengths are rounding: the rows are equal. */
const rounding = 1e-6;

interface Draw {
  readonly random: RandomStream;
  /** Rows drawn so far. */
  readonly chosen: number[];
  /** Squared distance of each row to the nearest of them. */
  readonly distances: Float64Array;
}

/**
 * Starts by k-means++ (Arthur and Vassilvitskii, 2007): the first centroid is a row drawn uniformly, each further one a row drawn in
 * proportion to its squared distance from those before.
 *
 * @returns per restart the rows drawn
 */
export async function seededRows(
  data: ScaledRows,
  clusters: number,
  seed: number,
  restarts: number,
  signal?: AbortSignal,
): Promise<(readonly number[])[]> {
  const starts: (readonly number[])[] = [];
  for (let first = 0; first < restarts; first += startsAtOnce) {
    const count = Math.min(startsAtOnce, restarts - first);
    const draws = Array.from({ length: count }, (_, at): Draw => {
      const random = new RandomStream(seed, "k-means", first + at);
      const distances = new Float64Array(data.features.rows).fill(Number.MAX_VALUE);
      return { random, chosen: [random.below(data.features.rows)], distances };
    });
    await drawAll(data, draws, clusters, signal);
    starts.push(...draws.map(({ chosen }) => chosen));
  }
  return starts;
}

async function drawAll(
  data: ScaledRows,
  draws: readonly Draw[],
  clusters: number,
  signal?: AbortSignal,
): Promise<void> {
  const program = similarities(data, draws.length);
  try {
    for (let drawn = 1; drawn < clusters; drawn++) {
      signal?.throwIfAborted();
      const latest = rowsOf(
        data.features,
        draws.map(({ chosen }) => chosen[drawn - 1] ?? 0),
      );
      const names = Object.keys(program.outputs);
      const found = await (await program.run({ latest: data.asBank(latest) }, names)).read();
      for (const { firstRow } of data.resident.parts)
        shorten(data, draws, firstRow, found[`rows ${firstRow}`] ?? [], drawn - 1);
      for (const draw of draws) draw.chosen.push(drawnRow(draw));
    }
  } finally {
    program.destroy();
  }
}

/** `x c - |c|²/2` of every row with the latest centroid of each start, `[rows, starts]` per part. */
function similarities(data: ScaledRows, starts: number): RecordedProgram<Record<string, Tensor>> {
  return recordProgram<Record<string, Tensor>>(
    data.device,
    (p) => {
      const latest = p.input("latest", [starts, data.width]);
      return Object.fromEntries(
        data.resident.parts.map(({ firstRow, rows }) => [
          `rows ${firstRow}`,
          matmul(rows, latest, { transposeB: true }),
        ]),
      );
    },
    { name: "k-means++", inference: true },
  );
}

/** Takes the latest centroids into account: |x - c|² = |x|² - 2 (x c - |c|²/2). */
function shorten(
  { squares }: ScaledRows,
  draws: readonly Draw[],
  firstRow: number,
  found: ArrayLike<number>,
  latest: number,
): void {
  draws.forEach(({ distances, chosen }, at) => {
    const own = squares[chosen[latest] ?? 0] ?? 0;
    for (let place = 0; place * draws.length < found.length; place++) {
      const row = firstRow + place;
      const square = squares[row] ?? 0;
      const squared = square - 2 * (found[place * draws.length + at] ?? 0);
      const distance = squared > rounding * (square + own) ? squared : 0;
      if (distance < (distances[row] ?? 0)) distances[row] = distance;
    }
  });
}

function drawnRow({ random, distances }: Draw): number {
  const total = distances.reduce((sum, distance) => sum + distance, 0);
  if (total === 0) return random.below(distances.length);
  const place = random.unit() * total;
  let passed = 0;
  for (let row = 0; row < distances.length; row++) {
    passed += distances[row] ?? 0;
    if (place < passed) return row;
  }
  return distances.length - 1; // rounding of the last sum
}

/** Some rows as a matrix of their own. */
export function rowsOf({ columns, data }: FeatureMatrix, chosen: readonly number[]): FeatureMatrix {
  const values = new Float64Array(chosen.length * columns);
  chosen.forEach((row, place) => {
    values.set(data.subarray(row * columns, (row + 1) * columns), place * columns);
  });
  return { rows: chosen.length, columns, data: values };
}
