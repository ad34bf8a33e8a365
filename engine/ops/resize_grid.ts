import { d, tgpu } from "typegpu";
import source from "../../shaders/resize_grid.wgsl" with { type: "text" };
import gradSource from "../../shaders/resize_grid_grad.wgsl" with { type: "text" };
import { OptionError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkRank, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { gridOf } from "./grid.ts";

const Params = d
  .struct({
    count: d.u32,
    xRows: d.u32,
    xColumns: d.u32,
    yRows: d.u32,
    yColumns: d.u32,
    width: d.u32,
    rowScale: d.f32,
    columnScale: d.f32,
  })
  .$name("Params");
export const resizeGridKernel = defineKernel({
  name: "resize_grid",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});
export const resizeGridGradKernel = defineKernel({
  name: "resize_grid_grad",
  source: gradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    dy: { storage: d.arrayOf(d.f32) },
    dx: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

export interface ResizeOptions {
  readonly rows: number;
  readonly columns: number;
  /**
   * Added to both target lengths in the coordinate mapping only. 0.1 reproduces the resizing of position embeddings in
   * the DINO code base and its descendants; default 0.
   */
  readonly scaleOffset?: number;
}

/**
 * Bicubic resize of a grid of embeddings: PyTorch's `interpolate(mode="bicubic", align_corners=False)`, a = -0.75,
 * half-pixel centres, edges clamped, no antialiasing. NaN and infinities spoil the places whose 16 neighbours hold them.
 *
 * @param grid - `[n, h, w, D]`
 * @returns `[n, rows, columns, D]`
 * @throws RankError, DTypeError unless f32, OptionError for lengths that are not positive integers
 */
export function resizeGrid(grid: Tensor, { rows, columns, scaleOffset = 0 }: ResizeOptions): Tensor {
  checkRank("resizeGrid", "grid", grid, 4);
  checkDType("resizeGrid", "grid", grid, ["f32"]);
  for (const [name, length] of Object.entries({ rows, columns })) {
    if (!Number.isInteger(length) || length < 1) {
      throw new OptionError(`resizeGrid: ${name} is ${length}, expected a positive integer`);
    }
  }
  const [n = 1, xRows = 1, xColumns = 1, channels = 1] = grid.shape;
  const [vector, width] = channels % 4 === 0 ? [4, channels / 4] : [1, channels];
  const program = programOf("resizeGrid", grid);
  const y = program.empty([n, rows, columns, channels]);
  const sizes = { xRows, xColumns, yRows: rows, yColumns: columns, width };
  const scales = { rowScale: xRows / (rows + scaleOffset), columnScale: xColumns / (columns + scaleOffset) };
  const options = { declarations: { Element: vector === 4 ? "vec4f" : "f32" } };
  const count = y.size / vector;
  program.dispatch(
    resizeGridKernel,
    { count, ...sizes, ...scales },
    { x: grid, y },
    gridOf(program.device, count),
    options,
  );
  return program.record(y, [grid], (dy) => {
    const backward = programOf("resizeGrid", dy);
    const dx = backward.empty(grid.shape);
    const places = sizeOf(grid.shape) / vector;
    const values = { count: places, ...sizes, ...scales };
    backward.dispatch(resizeGridGradKernel, values, { dy, dx }, gridOf(dy.device, places), options);
    return [backward.record(dx, [dy], (g) => [resizeGrid(g, { rows, columns, scaleOffset })])];
  });
}
