import { type MatrixTiling, matrixIndices } from "./matrix_tiling.ts";
import { epilogue, placeOfGroup, productHead, unfoldFunction } from "./product_text.ts";

/** Element types of A and B in memory. */
export type MatrixOperand = "f32" | "f16";

/**
 * The WGSL text of a product kernel of subgroup matrices, with the bindings and epilogues of the other product kernels.
 *
 * @param operand - element type of A and B in memory; where it is not that of the matrices, all of it is staged and converted
 * @param pins - whether the size of the subgroups is pinned, which needs `subgroup-size-control`
 */
export function matrixText(name: string, tiling: MatrixTiling, operand: MatrixOperand, pins: boolean): string {
  const { shape, subgroups, matrices, subgroupSize, invocations, tile, stepDepth, strideA, strideB } = tiling;
  const { rows, columns, depth, component, result } = shape;
  const index = matrixIndices(tiling);
  const [downs, acrosses] = [range(matrices[0]), range(matrices[1])];
  const sums = downs.flatMap((r) => acrosses.map((c) => `sum_${r}_${c}`));
  const rowSums = downs.map((r) => `rows_${r}`);
  const loads = { isDirect: operand === component, index };
  return `// y = epilogue(A B) with matrices that a subgroup multiplies at once: ${rows} × ${columns} × ${depth}, ${component} with sums of ${result}.
// ${subgroups.join(" × ")} subgroups of ${subgroupSize} share a tile of ${tile.join(" × ")}; each computes ${matrices.join(" × ")} matrices of it. Matrices inside of an operand
// whose lines lie as the matrices want them are loaded from it, all others from a tile in workgroup memory, padded with zeros.
${productHead("any")}alias LeftMatrix = subgroup_matrix_left<${component}, ${depth}, ${rows}>;
alias RightMatrix = subgroup_matrix_right<${component}, ${columns}, ${depth}>;
alias SumMatrix = subgroup_matrix_result<${result}, ${columns}, ${rows}>;
var<workgroup> tileA: array<${component}, ${tile[0] * strideA}>;
var<workgroup> tileB: array<${component}, ${stepDepth * strideB}>;
var<workgroup> staged: array<${result}, ${subgroups[0] * subgroups[1] * rows * columns}>;

@compute @workgroup_size(${invocations})${pins ? ` @subgroup_size(${subgroupSize})` : ""}
fn ${name}(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
${placeOfGroup(`${tile[0]}u`, `${tile[1]}u`)}${lets(index, ["firstRow", "firstColumn", "startA", "startB", "rowInTile", "columnInTile", "isInsideA", "isInsideB"])}
${sums.map((sum) => `  var ${sum} = SumMatrix();`).join("\n")}
  let ones = RightMatrix(${component}(1)); // a product with ones has the sums of the rows of A in each of its columns
${rowSums.map((sum) => `  var ${sum} = SumMatrix();`).join("\n")}
${downs.map((r) => `  var left_${r}: LeftMatrix;`).join("\n")}
${acrosses.map((c) => `  var right_${c}: RightMatrix;`).join("\n")}
  for (var k = begin; k < end; k += ${stepDepth}) {
    let stagesA = ${loads.isDirect ? `!(isInsideA && ${index.isWhole})` : "true"};
    let stagesB = ${loads.isDirect ? `!(isInsideB && ${index.isWhole})` : "true"};
    if (stagesA || stagesB) { workgroupBarrier(); }
    if (stagesA) {
      for (var i = index; i < ${index.countA}; i += ${invocations}) {
${lets(index, ["rowA", "depthA"], 8)}
        var value = ${component}(0);
        if (${index.hasA}) { value = ${component}(a[${index.fromA}]); }
        tileA[${index.toA}] = value;
      }
    }
    if (stagesB) {
      for (var i = index; i < ${index.countB}; i += ${invocations}) {
${lets(index, ["columnB", "depthB"], 8)}
        var value = ${component}(0);
        if (${index.hasB}) { value = ${component}(b[${index.fromB}]); }
        tileB[${index.toB}] = value;
      }
    }
    if (stagesA || stagesB) { workgroupBarrier(); }
${range(stepDepth / depth)
  .map((step) => stepText(tiling, step * depth, loads))
  .join("\n")}
  }
  // The matrices leave one at a time while the others move up: one copy of the epilogue in the code instead of ${sums.length}. Drivers
  // unroll loops whose bounds they know, which takes lavapipe seconds.
  let isAny = params.parts > 0u;
  let area = select(0u, ${rows * columns}u, isAny);
  let slots = select(0u, ${sums.length}u, isAny);
${lets(index, ["slice", "lane"])}
  for (var slot = 0u; slot < slots; slot++) {
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&staged, ${index.sliceStart}, ${sums[0]}, ${columns});
    workgroupBarrier();
    for (var e = lane; e < area; e += ${subgroupSize}) {
${lets(index, ["rowOut", "columnOut"], 6)}
      if (${index.hasOut}) {
        var columnBias = 0.0;
        if (hasBias) { columnBias = f32(bias[columnOut]); }
        finish(f32(staged[${index.fromStaged}]), columnBias, ${index.out});
      }
    }
${shift(sums)}
  }
  if (keepRowSums && group.x == 0) {
    for (var slot = 0u; slot < ${rowSums.length}u * u32(isAny); slot++) {
      workgroupBarrier();
      subgroupMatrixStore<row_major>(&staged, ${index.sliceStart}, ${rowSums[0]}, ${columns});
      workgroupBarrier();
      for (var e = lane; e < area; e += ${subgroupSize}) {
${lets(index, ["sumRowOut"], 8)}
        if (${index.hasSumOut}) { extra[${index.sumOut}] = Extra(staged[${index.fromStaged}]); }
      }
${shift(rowSums)}
    }
  }
}
${epilogue(1)}${unfoldFunction}`;
}

interface Loads {
  readonly isDirect: boolean;
  readonly index: ReturnType<typeof matrixIndices>;
}

/** Loads and products at depth `d` of a step. */
function stepText({ matrices, strideA, strideB }: MatrixTiling, d: number, { isDirect, index }: Loads): string {
  const load = (type: string, memory: string, offset: string, stride: string | number): string =>
    `subgroupMatrixLoad<${type}, row_major>(&${memory}, ${offset}, ${stride})`;
  const either = (name: string, condition: string, staged: string, direct: string): string =>
    isDirect
      ? `    if (${condition}) { ${name} = ${staged}; } else { ${name} = ${direct}; }`
      : `    ${name} = ${staged};`;
  const [downs, acrosses] = [range(matrices[0]), range(matrices[1])];
  return [
    ...downs.map((r) =>
      either(
        `left_${r}`,
        "stagesA",
        load("LeftMatrix", "tileA", index.stagedA(r, d), strideA),
        load("LeftMatrix", "a", index.directA(r, d), "params.aRow"),
      ),
    ),
    ...acrosses.map((c) =>
      either(
        `right_${c}`,
        "stagesB",
        load("RightMatrix", "tileB", index.stagedB(c, d), strideB),
        load("RightMatrix", "b", index.directB(c, d), "params.bDepth"),
      ),
    ),
    ...downs.flatMap((r) => acrosses.map((c) => multiply(`sum_${r}_${c}`, `left_${r}`, `right_${c}`))),
    "    if (keepRowSums && group.x == 0) {",
    ...downs.map((r) => `  ${multiply(`rows_${r}`, `left_${r}`, "ones")}`),
    "    }",
  ].join("\n");
}

function multiply(sum: string, left: string, right: string): string {
  return `    ${sum} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum});`;
}

/** The first of the named indices, each under its name. */
function lets(index: Loads["index"], names: readonly (keyof Loads["index"])[], indent = 2): string {
  return names.map((name) => `${" ".repeat(indent)}let ${name} = ${index[name]};`).join("\n");
}

function shift(names: readonly string[]): string {
  const moves = names.slice(1).map((name, i) => `${names[i]} = ${name};`);
  return `    ${moves.join(" ")}`;
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
