import { d, tgpu } from "typegpu";
import source from "../../shaders/scaled_sum.wgsl" with { type: "text" };
import { OptionError, ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import { checkDType, checkSameShape, matrixShape, showShape } from "../core/shape.ts";
import { detach, programOf, type Tensor } from "../core/tensor.ts";
import { elementTypes, stridingGroups } from "./elementwise.ts";

const Params = d.struct({ count: d.u32, span: d.u32, first: d.u32 }).$name("Params");
const elements = d.arrayOf(d.vec4f);
export const scaledSumKernel = defineKernel({
  name: "scaled_sum",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    residual: { storage: elements },
    branch: { storage: elements },
    factors: { storage: d.arrayOf(d.f32) },
    y: { storage: elements, access: "mutable" },
  }),
});

/** One factor per sample: a row of a table of them, so that those of a whole step are one input. */
export interface SampleFactors {
  /** `[rows, samples]`, f32; constants, no gradient flows into them. */
  readonly table: Tensor;
  readonly row: number;
}

/**
 * residual + factor · branch with a factor per sample: stochastic depth (arXiv 1603.09382), where a factor is 0 or what keeps the
 * mean.
 *
 * @param residual - `[samples · n, …]`, f32 or f16: the samples one after the other
 * @param branch - likewise
 * @throws ShapeError, DTypeError; OptionError for a row that the table does not have
 */
export function scaledSum(residual: Tensor, branch: Tensor, { table, row }: SampleFactors): Tensor {
  checkDType("scaledSum", "residual", residual, ["f32", "f16"]);
  checkDType("scaledSum", "branch", branch, [residual.dtype]);
  checkDType("scaledSum", "factors", table, ["f32"]);
  checkSameShape("scaledSum", "branch", branch.shape, residual.shape);
  const [rows, samples] = matrixShape("scaledSum", "factors", table);
  if (!Number.isInteger(row) || row < 0 || row >= rows)
    throw new OptionError(`scaledSum: row ${row} is not one of the ${rows} rows of factors; choose 0 … ${rows - 1}`);
  if ((residual.shape[0] ?? 1) % samples !== 0) {
    throw new ShapeError(
      `scaledSum: ${samples} factors do not fit ${showShape(residual.shape)}; its first axis must be a multiple of them`,
    );
  }
  const factors = detach(table);
  const program = programOf("scaledSum", residual, branch, factors);
  const y = program.empty(residual.shape, residual.dtype);
  const launch = { samples, first: row * samples };
  dispatch(program, launch, { residual, branch, factors, y }, true);
  return program.record(y, [residual, branch], (dy, [, needsBranch]) => {
    return [dy, needsBranch ? scaled(dy, factors, launch) : undefined];
  });
}

/** factor · x, with its own gradient. */
function scaled(x: Tensor, factors: Tensor, launch: Parameters<typeof dispatch>[1]): Tensor {
  const program = programOf("scaledSum", x, factors);
  const y = program.empty(x.shape, x.dtype);
  dispatch(program, launch, { residual: x, branch: x, factors, y }, false);
  return program.record(y, [x], (dy) => [scaled(dy, factors, launch)]);
}

function dispatch(
  program: Program,
  { samples, first }: { readonly samples: number; readonly first: number },
  operands: { readonly residual: Tensor; readonly branch: Tensor; readonly factors: Tensor; readonly y: Tensor },
  adds: boolean,
): void {
  const { y } = operands;
  const span = y.size / samples;
  const wide = span % 4 === 0;
  const width = wide ? 4 : 1;
  program.dispatch(
    scaledSumKernel,
    { count: y.size / width, span: span / width, first },
    operands,
    stridingGroups(y.size / width, program.device),
    { constants: { adds: adds ? 1 : 0 }, declarations: elementTypes(wide, y.dtype), flops: (adds ? 2 : 1) * y.size },
  );
}
