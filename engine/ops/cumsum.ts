import { d, tgpu } from "typegpu";
import source from "../../shaders/cumsum.wgsl" with { type: "text" };
import { defineKernel } from "../core/kernel.ts";
import { checkDType, resolveAxis, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { manyStridingGroups } from "./elementwise.ts";

const Params = d
  .struct({ count: d.u32, length: d.u32, inner: d.u32, chunks: d.u32, chunkLength: d.u32 })
  .$name("Params");
const numbers = d.arrayOf(d.f32);
export const cumsumKernel = defineKernel({
  name: "cumsum",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: numbers },
    offset: { storage: numbers },
    y: { storage: numbers, access: "mutable" },
  }),
});

export interface CumsumOptions {
  /** Default the last one. */
  readonly axis?: number;
  /** From the last element to the first. Default false. */
  readonly backwards?: boolean;
  /** Without the element itself: the first result is 0. Default false. */
  readonly exclusive?: boolean;
}

/**
 * Running sum along an axis, in a fixed order: `y[n] = x[0] + … + x[n]`. NaN and infinities spoil what follows them.
 *
 * @throws AxisError, DTypeError unless f32
 */
export function cumsum(x: Tensor, options: CumsumOptions = {}): Tensor {
  checkDType("cumsum", "x", x, ["f32"]);
  const { backwards = false, exclusive = false } = options;
  const axis = resolveAxis("cumsum", options.axis ?? -1, x.shape.length);
  const sizes = { length: x.shape[axis] ?? 1, inner: sizeOf(x.shape.slice(axis + 1)) };
  const y = scan(x, sizes, { backwards, exclusive });
  // dx[n] = dy[n] + … + dy[last]: the running sum from the other side.
  return y.program.record(y, [x], (dy) => [cumsum(dy, { axis, backwards: !backwards, exclusive })]);
}

/** Shortest run that is worth a second invocation, and invocations that keep a large GPU busy; fixed, as in reduce.ts. */
const shortestChunk = 64;
const busyInvocations = 4096;

function scan(
  x: Tensor,
  { length, inner }: { readonly length: number; readonly inner: number },
  order: { readonly backwards: boolean; readonly exclusive: boolean },
): Tensor {
  const program = programOf("cumsum", x);
  const lines = x.size / length;
  const wanted = Math.min(Math.ceil(busyInvocations / lines), Math.ceil(length / shortestChunk));
  const chunkLength = Math.ceil(length / wanted);
  const chunks = Math.ceil(length / chunkLength);
  const count = lines * chunks;
  const params = { count, length, inner, chunks, chunkLength };
  const groups = manyStridingGroups(count, program.device);
  const constants = { backwards: Number(order.backwards), exclusive: Number(order.exclusive) };
  const y = program.empty(x.shape);
  if (chunks === 1) {
    program.dispatch(cumsumKernel, params, { x, offset: x, y }, groups, { constants, flops: x.size });
    return y;
  }
  const totals = program.empty([count]);
  program.dispatch(cumsumKernel, params, { x, offset: x, y: totals }, groups, {
    constants: { ...constants, totals: 1 },
    flops: x.size,
  });
  const offset = scan(totals, { length: chunks, inner }, { backwards: false, exclusive: true });
  program.dispatch(cumsumKernel, params, { x, offset, y }, groups, {
    constants: { ...constants, hasOffset: 1 },
    flops: x.size,
  });
  return y;
}
