import type { Checkpoint } from "../../engine/files/index.ts";
import { sizeOf } from "../../engine/index.ts";

/** A parameter (or the position grid) that can be read from a file, put together from one or more stored tensors. */
export interface StoredParameter {
  readonly shape: readonly number[];
  /** Paths in the file. */
  readonly sources: readonly string[];
  /** Row-major floats. */
  read(): Promise<Float32Array>;
}

/** A stored tensor by path and shape. */
export interface Source {
  readonly path: string;
  readonly shape: readonly number[];
}

/** Reads floats and reports suspicious values; shared by all parameters of a file. */
export type ReadFloats = (path: string) => Promise<Float32Array>;

/** Reads floats of a checkpoint; a tensor with NaN or infinities is named once in `warnings`. */
export function checkedReader(checkpoint: Checkpoint, warnings: string[]): ReadFloats {
  const seen = new Set<string>();
  return async (path) => {
    const values = await checkpoint.readAsF32(path);
    const bad = countNonFinite(values);
    if (bad > 0 && !seen.has(path)) {
      seen.add(path);
      warnings.push(`${path}: ${bad} of ${values.length} values are NaN or infinite; the features will be, too`);
    }
    return values;
  };
}

/** Zero times a value is zero only if it is finite, so that blocks of finite values need one sum: files have billions of them. */
function countNonFinite(values: Float32Array): number {
  const block = 4096;
  let bad = 0;
  for (let start = 0; start < values.length; start += block) {
    const end = Math.min(values.length, start + block);
    let sum = 0;
    for (let i = start; i < end; i++) sum += 0 * (values[i] ?? 0);
    if (sum !== 0) bad += values.subarray(start, end).filter((value) => !Number.isFinite(value)).length;
  }
  return bad;
}

/** A stored tensor as it is, of another shape with as many elements if `shape` is given. */
export function whole(read: ReadFloats, source: Source, shape = source.shape): StoredParameter {
  return { shape, sources: [source.path], read: () => read(source.path) };
}

/** Rows of a layer times a factor per row: LayerScale folded into the layer before it, exact but for one rounding. */
export function scaled(read: ReadFloats, layer: StoredParameter, gain: Source): StoredParameter {
  return {
    shape: layer.shape,
    sources: [...layer.sources, gain.path],
    async read() {
      const [values, gains] = [await layer.read(), await read(gain.path)];
      const columns = values.length / gains.length;
      return values.map((value, i) => value * (gains[Math.floor(i / columns)] ?? 1));
    },
  };
}

/** Query, key and value stacked; a bias that is not stored is zero. */
export function merged(read: ReadFloats, thirds: readonly (Source | undefined)[]): StoredParameter {
  const stored = thirds.filter((source) => source !== undefined);
  const [rows = 0, ...columns] = stored[0]?.shape ?? [];
  return {
    shape: [3 * rows, ...columns],
    sources: stored.map(({ path }) => path),
    async read() {
      const size = sizeOf([rows, ...columns]);
      const values = new Float32Array(3 * size);
      for (const [i, source] of thirds.entries()) if (source) values.set(await read(source.path), i * size);
      return values;
    },
  };
}

/**
 * Leading tokens in their order, `[1, count, width]`, each with the row of the positions that was stored for it.
 *
 * @param rows - values `[≤ count, width]` that are added, in token order
 */
export function tokens(
  read: ReadFloats,
  parts: readonly Source[],
  positions: { readonly path: string; readonly rows: Float32Array } | undefined,
): StoredParameter {
  const width = parts[0]?.shape.at(-1) ?? 1;
  const count = parts.reduce((sum, { shape }) => sum + sizeOf(shape) / width, 0);
  return {
    shape: [1, count, width],
    sources: [...parts.map(({ path }) => path), ...(positions ? [positions.path] : [])],
    async read() {
      const values = new Float32Array(count * width);
      let offset = 0;
      for (const { path } of parts) {
        const part = await read(path);
        values.set(part, offset);
        offset += part.length;
      }
      positions?.rows.forEach((value, i) => {
        values[i] = (values[i] ?? 0) + value;
      });
      return values;
    },
  };
}

/** The grid of a stored position table, without its leading rows. */
export function grid(read: ReadFloats, source: Source, shape: readonly number[], leadingRows: number): StoredParameter {
  const width = shape.at(-1) ?? 1;
  return {
    shape,
    sources: [source.path],
    read: async () => (await read(source.path)).slice(leadingRows * width),
  };
}
