import { resizeGrid } from "../../engine/index.ts";
import { grid } from "../../models/checkpoints/assemble_parameters.ts";
import { positionGrid } from "../../models/checkpoints/position_grid.ts";
import { sincosPositions } from "../../models/index.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** Sin-cos tables, bicubic resizing and flat tables. */
export const positionsCase: GoldenCheck = {
  run: checkPositions,
  inputs: {
    tensors: /\/input$/,
    keys: /^(dim|(grids|mae)\.\d+|interpolations\.\d+\.[01]|max_wavelength|interpolation\.(mode|a|align_corners|antialias))$/,
  },
};

async function checkPositions(golden: GoldenCase): Promise<void> {
  expectTables(golden);
  for (const name of golden.names()) {
    const values = await positionsOf(golden, name);
    if (values) await golden.compare(name, values, goldenBounds.forward);
  }
}

/** What the JSON file says of the tables: rules that the code has no choice of, and sizes that are all stored. */
function expectTables(golden: GoldenCase): void {
  const { json } = golden;
  json.expect({ dim: golden.shape(golden.names("sincos/")[0] ?? "").at(-1), max_wavelength: 10_000 });
  json.get("interpolation").expect({ mode: "bicubic", a: -0.75, align_corners: false, antialias: false });
  const grids = json.get("grids");
  for (const index of grids.keys()) golden.require(`sincos/${grids.get(index).numbers().join("x")}`);
  const pairs = json.get("interpolations");
  for (const index of pairs.keys()) {
    const [from, to] = [pairs.get(index, 0).numbers(), pairs.get(index, 1).numbers()];
    golden.require(`interpolate/${from.join("x")}_to_${to.join("x")}/bicubic`);
  }
}

async function positionsOf(golden: GoldenCase, name: string): Promise<ArrayLike<number> | undefined> {
  const shape = golden.shape(name);
  const width = shape.at(-1) ?? 1;
  const [kind = "", grid = "", what = ""] = name.split("/");
  if (kind === "sincos" || kind === "sincos_other_axis_order") {
    const [rows = 1, columns = 1] = shape;
    return sincosPositions(rows, columns, width, kind === "sincos" ? "row-first" : "column-first");
  }
  if (kind === "facebook_mae") {
    const [rows, columns] = sides(grid);
    return joined(new Float32Array(width), sincosPositions(rows, columns, width, "column-first"));
  }
  if (what === "input") return undefined;
  if (kind === "interpolate")
    return resized(golden, `${kind}/${grid}/input`, shape, what.endsWith("offset_0.1") ? 0.1 : 0);
  return flat(golden, grid, what, width);
}

async function resized(
  golden: GoldenCase,
  input: string,
  shape: readonly number[],
  scaleOffset: number,
): Promise<ArrayLike<number>> {
  const grid = golden.device.tensor(await golden.floats(input), golden.shape(input));
  const [, rows = 1, columns = 1] = shape;
  return resizeGrid(grid, { rows, columns, scaleOffset }).read();
}

async function flat(golden: GoldenCase, grid: string, what: string, width: number): Promise<ArrayLike<number>> {
  const input = `mae_1d/${grid}/input`;
  const split = await splitTable(golden, input);
  if (what === "as_2d") return split.grid;
  const [rows, columns] = sides(what.split("_to_")[1] ?? "");
  const values = isInputOf(golden, grid, rows)
    ? split.grid
    : await impliedGrid(golden, grid, `as_2d_to_${rows}x${columns}`);
  const table = golden.device.tensor(values, [1, split.rows, split.columns, width]);
  const resizedTable = await resizeGrid(table, { rows, columns }).read();
  if (!what.startsWith("flat")) return resizedTable;
  const classRow = isInputOf(golden, grid, rows)
    ? split.classRows
    : (await golden.floats(`mae_1d/${grid}/${what}`)).slice(0, width);
  return joined(classRow, resizedTable);
}

/** A flat table as the loader of checkpoints takes it apart. */
async function splitTable(golden: GoldenCase, path: string) {
  const shape = golden.shape(path);
  const width = shape.at(-1) ?? 1;
  const read = (name: string): Promise<Float32Array> => golden.floats(name);
  const nothing = { claims: [], unsupported: [] };
  const place = positionGrid({ path, shape }, { classTokens: 1, patchPixels: 1, stated: nothing }, golden.name);
  const { rows, columns, leadingRows } = place;
  return {
    rows,
    columns,
    grid: await grid(read, { path, shape }, [1, rows, columns, width], leadingRows).read(),
    classRows: (await read(path)).slice(0, leadingRows * width),
  };
}

function joined(first: ArrayLike<number>, second: ArrayLike<number>): Float32Array {
  const values = new Float32Array(first.length + second.length);
  values.set(first);
  values.set(second, first.length);
  return values;
}

/** Several results may share one source grid; the stored input belongs to the last of them. */
function isInputOf(golden: GoldenCase, grid: string, rows: number): boolean {
  const pairs = golden.json.get("mae");
  const targets = pairs.keys().map((index) => pairs.get(index).numbers());
  const last = targets.filter(([from]) => from === sides(grid)[0]).at(-1);
  return last === undefined || last[1] === rows;
}

/**
 * The least grid whose bicubic resize is nearest to a stored result, whose own input was overwritten in the file. A table is
 * the enlargement of some grid only if it follows the rule, so that comparison can fail; of reductions only one that
 * differs between the two stored forms can.
 */
async function impliedGrid(golden: GoldenCase, grid: string, result: string): Promise<Float32Array> {
  const [from] = sides(grid);
  const shape = golden.shape(`mae_1d/${grid}/${result}`);
  const [, rows = 1, columns = 1, width = 1] = shape;
  const values = await golden.floats(`mae_1d/${grid}/${result}`);
  const down = pseudoInverse(bicubicMatrix(from, rows));
  const right = pseudoInverse(bicubicMatrix(from, columns));
  return Float32Array.from({ length: from * from * width }, (_, at) => {
    const [row, column, channel] = [Math.floor(at / width / from), Math.floor(at / width) % from, at % width];
    let sum = 0;
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        sum += (down[row]?.[r] ?? 0) * (right[column]?.[c] ?? 0) * (values[(r * columns + c) * width + channel] ?? 0);
      }
    }
    return sum;
  });
}

/** Weights of a bicubic resize along one axis (a = -0.75, half-pixel centres, clamped edges), `[to][from]`. */
function bicubicMatrix(from: number, to: number): number[][] {
  const a = -0.75;
  const weight = (x: number): number =>
    x <= 1 ? (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1 : x < 2 ? a * (x ** 3 - 5 * x ** 2 + 8 * x - 4) : 0;
  return Array.from({ length: to }, (_, i) => {
    const row = new Array<number>(from).fill(0);
    const at = ((i + 0.5) * from) / to - 0.5;
    for (let tap = Math.floor(at) - 1; tap <= Math.floor(at) + 2; tap++) {
      const clamped = Math.min(Math.max(tap, 0), from - 1);
      row[clamped] = (row[clamped] ?? 0) + weight(Math.abs(at - tap));
    }
    return row;
  });
}

/** (MᵀM)⁻¹Mᵀ by Gauss–Jordan elimination; of a matrix with fewer rows than columns by its transpose. */
function pseudoInverse(matrix: readonly (readonly number[])[]): number[][] {
  const columns = matrix[0]?.length ?? 0;
  if (matrix.length < columns) return transpose(pseudoInverse(transpose(matrix)));
  const system = Array.from({ length: columns }, (_, i) => [
    ...Array.from({ length: columns }, (__, j) => matrix.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0)),
    ...matrix.map((row) => row[i] ?? 0),
  ]);
  for (let pivot = 0; pivot < columns; pivot++) {
    const pivotRow = system[pivot] ?? [];
    const scale = pivotRow[pivot] ?? 1;
    system[pivot] = pivotRow.map((value) => value / scale);
    for (let i = 0; i < columns; i++) {
      const factor = system[i]?.[pivot] ?? 0;
      if (i !== pivot) system[i] = (system[i] ?? []).map((value, j) => value - factor * (system[pivot]?.[j] ?? 0));
    }
  }
  return system.map((row) => row.slice(columns));
}

function transpose(matrix: readonly (readonly number[])[]): number[][] {
  return (matrix[0] ?? []).map((_, column) => matrix.map((row) => row[column] ?? 0));
}

function sides(text: string): [number, number] {
  const [rows = 1, columns = 1] = text.split("x").map(Number);
  return [rows, columns];
}
