import { ShapeError } from "../../engine/index.ts";
import type { Source } from "./assemble_parameters.ts";
import { type StatedConfig, statedNumber } from "./stated_config.ts";

/** The patch grid of stored positions, and how many leading rows stand before it. */
export interface PositionGrid {
  readonly rows: number;
  readonly columns: number;
  readonly leadingRows: number;
  /** Whether the grid was taken for square, and nothing in the file tells. */
  readonly isGuess: boolean;
}

/** What the shape of positions is judged by. */
export interface GridContext {
  readonly classTokens: number;
  readonly patchPixels: number;
  readonly stated: StatedConfig;
  /** Height and width in pixels that the positions belong to, where the caller knows. */
  readonly resolution?: readonly [heightPixels: number, widthPixels: number];
}

/**
 * The grid of stored positions: `[1, rows, columns, D]`, or flat with leading rows for the class tokens.
 *
 * @throws ShapeError if it is neither, does not fit the resolution that is asked for, or is no square grid where none is known
 */
export function positionGrid(stored: Source, context: GridContext, file: string): PositionGrid {
  const { path, shape } = stored;
  if (shape.length < 2 || shape.length > 4 || (shape.length > 2 && shape[0] !== 1))
    throw new ShapeError(
      `${file}: ${path} is [${shape}], expected [1, rows, columns, width] or [1, tokens, width]; the file is damaged or of another architecture`,
    );
  return shape.length === 4 ? storedGrid(stored, context, file) : flatGrid(stored, context, file);
}

function storedGrid({ path, shape }: Source, context: GridContext, file: string): PositionGrid {
  const { resolution, patchPixels: patch } = context;
  const [, rows = 0, columns = 0] = shape;
  const [askedRows = rows, askedColumns = columns] = resolution?.map((side) => side / patch) ?? [];
  if (askedRows === rows && askedColumns === columns) return { rows, columns, leadingRows: 0, isGuess: false };
  throw new ShapeError(
    `${file}: ${path} is a grid of ${rows} x ${columns} patches of ${patch} pixels, not of ${resolution?.join("x")} pixels; leave out the resolution (--resolution), or give ${rows * patch}x${columns * patch}`,
  );
}

function flatGrid({ path, shape }: Source, context: GridContext, file: string): PositionGrid {
  const { classTokens, patchPixels: patch, resolution, stated } = context;
  const [count = 0] = shape.slice(-2);
  const pixels = resolution ?? [statedNumber(stated, "heightPixels") ?? 0, statedNumber(stated, "widthPixels") ?? 0];
  const [height = 0, width = 0] = pixels.map((side) => side / patch);
  for (const leadingRows of [...new Set([classTokens, Math.min(1, classTokens), 0])]) {
    const cells = count - leadingRows;
    if (cells < 1) continue;
    const side = Math.round(Math.sqrt(cells));
    if (height * width === cells && Number.isInteger(height) && Number.isInteger(width))
      return { rows: height, columns: width, leadingRows, isGuess: false };
    if (!resolution && side * side === cells) return { rows: side, columns: side, leadingRows, isGuess: true };
  }
  const misfit = resolution
    ? `are not the ${height} x ${width} patches of ${resolution.join("x")} pixels`
    : "are no square grid";
  throw new ShapeError(
    `${file}: ${path} has ${count} rows, which with ${classTokens} class tokens and patches of ${patch} pixels ${misfit}; give the resolution that it belongs to (--resolution HEIGHTxWIDTH)`,
  );
}
