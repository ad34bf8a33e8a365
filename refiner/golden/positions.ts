import { resizeGrid } from "../../engine/index.ts";
import { sincosPositions, splitFlatPositions } from "../../models/index.ts";
import { type GoldenCase, goldenBounds } from "./fixture.ts";

/** Sin-cos tables, bicubic resizing and flat tables. */
export async function checkPositions(golden: GoldenCase): Promise<void> {
  for (const name of golden.names()) {
    const values = await positionsOf(golden, name);
    if (values) await golden.compare(name, values, goldenBounds.forward);
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
    return Float32Array.of(...new Float32Array(width), ...sincosPositions(rows, columns, width, "column-first"));
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
  const split = splitFlatPositions(await golden.floats(input), golden.shape(input)[1] ?? 1, width);
  if (what === "as_2d") return split.grid;
  const [rows, columns] = sides(what.split("_to_")[1] ?? "");
  const table = golden.device.tensor(split.grid, [1, split.rows, split.columns, width]);
  const values = await resizeGrid(table, { rows, columns }).read();
  return what.startsWith("flat") ? Float32Array.of(...split.classRows, ...values) : values;
}

function sides(text: string): [number, number] {
  const [rows = 1, columns = 1] = text.split("x").map(Number);
  return [rows, columns];
}
