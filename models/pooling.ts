import { d, tgpu } from "typegpu";
import { checkDType, defineKernel, matrixShape, OptionError, type Program, type Tensor } from "../engine/index.ts";
import poolSource from "../shaders/pool_tokens.wgsl" with { type: "text" };
import poolGradSource from "../shaders/pool_tokens_grad.wgsl" with { type: "text" };
import type { TokenSegment } from "./vit.ts";

/** What stands for an image: its (first) class token, or the mean over its patch tokens. */
export type Pooling = "cls" | "avg";

const Params = d.struct({ rows: d.u32, columns: d.u32 }).$name("Params");
export const poolTokensKernel = defineKernel({
  name: "pool_tokens",
  source: poolSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.f32) },
    spans: { storage: d.arrayOf(d.vec2u) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});
export const poolTokensGradKernel = defineKernel({
  name: "pool_tokens_grad",
  source: poolGradSource,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    dy: { storage: d.arrayOf(d.f32) },
    owners: { storage: d.arrayOf(d.vec2u) },
    dx: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** Which token rows each pooled row averages; made once per layout of segments and shared by all taps. */
export interface PoolingTable {
  readonly images: number;
  readonly spans: Tensor;
  readonly owners: Tensor;
}

/**
 * The table for a pooling of encoded segments, which belongs to the program.
 *
 * @throws OptionError for class-token pooling of a model without class tokens
 */
export function poolingTable(
  program: Program,
  segments: readonly TokenSegment[],
  pooling: Pooling,
  classTokens: number,
): PoolingTable {
  if (pooling === "cls" && classTokens === 0) throw new OptionError("pooling: the model has no class token; use avg");
  const spans: number[] = [];
  const owners: number[] = [];
  for (const { batch, tokens, firstRow } of segments) {
    const [skip, count] = pooling === "cls" ? [0, 1] : [classTokens, tokens - classTokens];
    const isPooled = Array.from({ length: tokens }, (_, t) => t >= skip && t < skip + count);
    for (let b = 0; b < batch; b++) {
      spans.push(firstRow + b * tokens + skip, count);
      const owner = spans.length / 2;
      for (const isOwned of isPooled) owners.push(...(isOwned ? [owner, count] : [0, 1]));
    }
  }
  return {
    images: spans.length / 2,
    spans: program.own(program.device.tensor(Uint32Array.from(spans), [spans.length], "u32", "pooling spans")),
    owners: program.own(program.device.tensor(Uint32Array.from(owners), [owners.length], "u32", "pooling owners")),
  };
}

/** Most workgroups worth starting; each invocation strides over the rest. */
const maxWorkgroups = 4096;

/**
 * Pooled features `[images, D]` of token rows `[R, D]`, segment after segment: f32, also those of f16 rows.
 *
 * @throws RankError, DTypeError
 */
export function poolTokens(x: Tensor, table: PoolingTable): Tensor {
  checkDType("poolTokens", "x", x, ["f32", "f16"]);
  const [rows, columns] = matrixShape("poolTokens", "x", x);
  const y = x.program.empty([table.images, columns]);
  const groups = (count: number): number[] => [Math.min(maxWorkgroups, Math.ceil(count / 64))];
  const params = { rows: table.images, columns };
  const options = { declarations: { Stored: x.dtype } };
  y.program.dispatch(poolTokensKernel, params, { x, spans: table.spans, y }, groups(y.size), options);
  return y.program.record(y, [x], (dy) => {
    const dx = dy.program.empty(x.shape, x.dtype);
    const operands = { dy, owners: table.owners, dx };
    dx.program.dispatch(poolTokensGradKernel, { rows, columns }, operands, groups(x.size), options);
    return [dx];
  });
}
