import { d, tgpu } from "typegpu";
import source from "../../shaders/pool.wgsl" with { type: "text" };
import gradSource from "../../shaders/pool_grad.wgsl" with { type: "text" };
import { OptionError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkRank, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { type Pair, pairOf } from "./conv_shape.ts";
import { elementTypes, stridingGroups } from "./elementwise.ts";

const Params = d
  .struct({
    count: d.u32,
    width: d.u32,
    places: d.vec2u,
    sources: d.vec2u,
    window: d.vec2u,
    stride: d.vec2u,
    padding: d.vec2u,
    scale: d.f32,
  })
  .$name("Params");
const elements = d.arrayOf(d.vec4f);
export const poolKernel = defineKernel({
  name: "pool",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: elements },
    y: { storage: elements, access: "mutable" },
    winners: { storage: d.arrayOf(d.vec4u), access: "mutable" },
  }),
});
export const poolGradKernel = defineKernel({
  name: "pool_grad",
  source: gradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    dy: { storage: elements },
    winners: { storage: d.arrayOf(d.vec4u) },
    dx: { storage: elements, access: "mutable" },
  }),
});

export interface PoolOptions {
  /** Rows and columns that one place of the result looks at; one number or `[rows, columns]`. */
  readonly window: number | Pair;
  /** Places of the source between neighbouring places of the result. Default: the window. */
  readonly stride?: number | Pair;
  /** Places around the source, at most half of the window: zeros for the mean, nothing for the maximum. Default 0. */
  readonly padding?: number | Pair;
}

/**
 * Largest element of each window, `torch.nn.functional.max_pool2d` with channels last: NaN is the largest, and the gradient goes to the
 * first of equal elements.
 *
 * @param x - `[B, rows, columns, C]`, f32 or f16
 * @returns `[B, ⌊(rows + 2 padding - window) / stride⌋ + 1, …, C]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function maxPool2d(x: Tensor, options: PoolOptions): Tensor {
  const sizes = poolSizes("maxPool2d", x, options);
  const program = programOf("maxPool2d", x);
  const y = program.empty(placesShape(sizes), x.dtype);
  const keepWinners = !program.inference;
  const winners = program.empty(keepWinners ? y.shape : [4], "u32");
  const { params, declarations } = launchOf(sizes, x, y.size, 1);
  const ofTaps = { Tap: declarations.Element === "f32" ? "u32" : "vec4u" };
  const Choice = declarations.Element === "f32" ? "bool" : "vec4<bool>";
  program.dispatch(poolKernel, params, { x, y, winners }, stridingGroups(params.count, program.device), {
    operation: "maxPool2d",
    constants: { maximum: 1, keepWinners: Number(keepWinners) },
    declarations: { ...declarations, ...ofTaps, Choice },
  });
  return program.record(y, [x], (dy) => {
    const backward = programOf("maxPool2d", winners, dy);
    const dx = backward.empty(x.shape, dy.dtype);
    const back = launchOf(sizes, dy, dx.size, 1);
    backward.dispatch(poolGradKernel, back.params, { dy, winners, dx }, stridingGroups(back.params.count, dy.device), {
      operation: "maxPool2d",
      constants: { maximum: 1 },
      declarations: { ...back.declarations, ...ofTaps },
    });
    return [dx];
  });
}

/**
 * Mean of each window, `torch.nn.functional.avg_pool2d` with channels last: places of the padding count as zeros. NaN and infinities spoil
 * the windows that hold them.
 *
 * @param x - `[B, rows, columns, C]`, f32 or f16
 * @returns `[B, ⌊(rows + 2 padding - window) / stride⌋ + 1, …, C]`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function averagePool2d(x: Tensor, options: PoolOptions): Tensor {
  return average(poolSizes("averagePool2d", x, options), x);
}

function average(sizes: PoolSizes, x: Tensor): Tensor {
  const program = programOf("averagePool2d", x);
  const y = program.empty(placesShape(sizes), x.dtype);
  const { params, declarations } = launchOf(sizes, x, y.size, 1 / sizeOf(sizes.window));
  const isSingle = declarations.Element === "f32";
  program.dispatch(
    poolKernel,
    params,
    { x, y, winners: program.empty([4], "u32") },
    stridingGroups(params.count, program.device),
    {
      operation: "averagePool2d",
      declarations: {
        ...declarations,
        Tap: isSingle ? "u32" : "vec4u",
        Choice: isSingle ? "bool" : "vec4<bool>",
      },
    },
  );
  return program.record(y, [x], (dy) => [spread(sizes, dy)]);
}

/** dx[source] = Σ dy over the windows that hold it / their size. */
function spread(sizes: PoolSizes, dy: Tensor): Tensor {
  const program = programOf("averagePool2d", dy);
  const dx = program.empty([sizes.images, ...sizes.sources, sizes.channels], dy.dtype);
  const { params, declarations } = launchOf(sizes, dy, dx.size, 1 / sizeOf(sizes.window));
  const winners = program.empty([4], "u32");
  program.dispatch(poolGradKernel, params, { dy, winners, dx }, stridingGroups(params.count, program.device), {
    operation: "averagePool2d",
    declarations: { ...declarations, Tap: declarations.Element === "f32" ? "u32" : "vec4u" },
  });
  return program.record(dx, [dy], (g) => [average(sizes, g)]);
}

interface PoolSizes {
  readonly images: number;
  readonly channels: number;
  readonly sources: Pair;
  readonly places: Pair;
  readonly window: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

function placesShape({ images, places, channels }: PoolSizes): number[] {
  return [images, ...places, channels];
}

function launchOf(
  { channels, places, sources, window, stride, padding }: PoolSizes,
  x: Tensor,
  size: number,
  scale: number,
) {
  const wide = channels % 4 === 0;
  const vector = wide ? 4 : 1;
  return {
    params: { count: size / vector, width: channels / vector, places, sources, window, stride, padding, scale },
    declarations: elementTypes(wide, x.dtype),
  };
}

function poolSizes(operation: string, x: Tensor, options: PoolOptions): PoolSizes {
  checkRank(operation, "x", x, 4);
  checkDType(operation, "x", x, ["f32", "f16"]);
  const [images = 1, rows = 1, columns = 1, channels = 1] = x.shape;
  const window = pairOf(operation, "window", options.window, 1);
  const stride = pairOf(operation, "stride", options.stride ?? options.window, 1);
  const padding = pairOf(operation, "padding", options.padding ?? 0, 0);
  const along = (axis: 0 | 1, length: number): number => {
    if (2 * padding[axis] > window[axis]) {
      throw new OptionError(
        `${operation}: padding ${padding[axis]} is more than half of the window ${window[axis]}; a window would see nothing else`,
      );
    }
    const room = length + 2 * padding[axis] - window[axis];
    if (room >= 0) return Math.floor(room / stride[axis]) + 1;
    throw new ShapeError(
      `${operation}: a window of ${window[axis]} does not fit into ${length} places with padding ${padding[axis]}; use a smaller one`,
    );
  };
  const places: Pair = [along(0, rows), along(1, columns)];
  return { images, channels, sources: [rows, columns], places, window, stride, padding };
}
