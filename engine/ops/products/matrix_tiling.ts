import type { MatrixShape } from "../../core/device_parts.ts";

/** How many subgroups share a tile of the result, and how many matrices of it each computes. */
export interface MatrixForm {
  readonly subgroups: readonly [rows: number, columns: number];
  readonly matrices: readonly [rows: number, columns: number];
}

/** The lengths of a product kernel whose subgroups multiply matrices at once. */
export interface MatrixTiling extends MatrixForm {
  readonly shape: MatrixShape;
  readonly subgroupSize: number;
  /** Invocations of a workgroup. */
  readonly invocations: number;
  /** Rows and columns that a workgroup computes. */
  readonly tile: readonly [rows: number, columns: number];
  /** Depth that is staged at a time. */
  readonly stepDepth: number;
  /** Elements from one line of a staged tile to the next. */
  readonly strideA: number;
  readonly strideB: number;
  /** Elements of 16 bytes: Vulkan's matrix loads want offsets and strides that are multiples of them. */
  readonly alignment: number;
  /** Bytes of workgroup memory. */
  readonly memoryBytes: number;
}

const elementBytes: Readonly<Record<MatrixShape["component"], number>> = {
  f32: 4,
  f16: 2,
  u32: 4,
  i32: 4,
  u8: 1,
  i8: 1,
};

/** Steps of matrices between two barriers. */
const stepsAtOnce = 2;

export function matrixTiling(shape: MatrixShape, subgroupSize: number, form: MatrixForm): MatrixTiling {
  const alignment = 16 / elementBytes[shape.component];
  const tileRows = form.subgroups[0] * form.matrices[0] * shape.rows;
  const tileColumns = form.subgroups[1] * form.matrices[1] * shape.columns;
  const stepDepth = stepsAtOnce * shape.depth;
  // 16 bytes more than a line holds, so that lines below each other start in other memory banks.
  const strideA = stepDepth + alignment;
  const strideB = tileColumns + alignment;
  const count = form.subgroups[0] * form.subgroups[1];
  const operands = elementBytes[shape.component] * (tileRows * strideA + stepDepth * strideB);
  const results = elementBytes[shape.result] * count * shape.rows * shape.columns;
  return {
    ...form,
    shape,
    subgroupSize,
    invocations: count * subgroupSize,
    tile: [tileRows, tileColumns],
    stepDepth,
    strideA,
    strideB,
    alignment,
    memoryBytes: operands + results,
  };
}

/**
 * Every index and condition of the kernel, as WGSL expressions of unsigned numbers. The text of the kernel is made of them, and the
 * tests evaluate the very same ones: that each element is met once and in bounds can be checked without a device that has such
 * matrices.
 */
export function matrixIndices({ shape, subgroupSize, subgroups, matrices, ...tiling }: MatrixTiling) {
  const { tile, stepDepth, strideA, strideB, alignment } = tiling;
  const [tileRows, tileColumns] = tile;
  const area = shape.rows * shape.columns;
  const subgroupRows = matrices[0] * shape.rows;
  const subgroupColumns = matrices[1] * shape.columns;
  return {
    // Of the workgroup.
    firstRow: `group.y * ${tileRows}`,
    firstColumn: `group.x * ${tileColumns}`,
    begin: "(group.z % params.splits) * params.splitDepth",
    end: "min(begin + params.splitDepth, params.depth)",
    batch: "group.z / params.splits",
    startA: "batch * params.aBatch",
    startB: "batch * params.bBatch",
    // Of the subgroup, in the tile.
    rowInTile: `subgroup / ${subgroups[1]} * ${subgroupRows}`,
    columnInTile: `subgroup % ${subgroups[1]} * ${subgroupColumns}`,
    // Whether matrices of an operand may come straight from its memory.
    isInsideA: `params.aDepth == 1 && params.aRow % ${alignment} == 0 && startA % ${alignment} == 0 && firstRow + ${tileRows} <= params.rows`,
    isInsideB: `params.bColumn == 1 && params.bDepth % ${alignment} == 0 && startB % ${alignment} == 0 && firstColumn + ${tileColumns} <= params.columns`,
    isWhole: `k + ${stepDepth} <= end`,
    // Of element i of a staged tile; neighbours in memory are loaded by neighbours.
    countA: tileRows * stepDepth,
    rowA: `select(i % ${tileRows}, i / ${stepDepth}, params.aDepth == 1)`,
    depthA: `select(i / ${tileRows}, i % ${stepDepth}, params.aDepth == 1)`,
    hasA: "firstRow + rowA < params.rows && k + depthA < end",
    fromA: "startA + (firstRow + rowA) * params.aRow + (k + depthA) * params.aDepth",
    toA: `rowA * ${strideA} + depthA`,
    countB: tileColumns * stepDepth,
    columnB: `select(i / ${stepDepth}, i % ${tileColumns}, params.bColumn == 1)`,
    depthB: `select(i % ${stepDepth}, i / ${tileColumns}, params.bColumn == 1)`,
    hasB: "firstColumn + columnB < params.columns && k + depthB < end",
    fromB: "startB + (firstColumn + columnB) * params.bColumn + (k + depthB) * params.bDepth",
    toB: `depthB * ${strideB} + columnB`,
    // Of matrix r of A and c of B at depth d of a step: offsets into the staged tiles, or into the operands.
    stagedA: (r: number, d: number) => `(rowInTile + ${r * shape.rows}) * ${strideA} + ${d}`,
    stagedB: (c: number, d: number) => `${d * strideB} + columnInTile + ${c * shape.columns}`,
    directA: (r: number, d: number) => `startA + (firstRow + rowInTile + ${r * shape.rows}) * params.aRow + k + ${d}`,
    directB: (c: number, d: number) =>
      `startB + (k + ${d}) * params.bDepth + firstColumn + columnInTile + ${c * shape.columns}`,
    // Of element e of the matrix `slot` that is on its way out, in the slice of a subgroup.
    sliceStart: `subgroup * ${area}`,
    slice: `index / ${subgroupSize}`,
    lane: `index % ${subgroupSize}`,
    fromStaged: `slice * ${area} + e`,
    rowOut: `firstRow + slice / ${subgroups[1]} * ${subgroupRows} + slot / ${matrices[1]} * ${shape.rows} + e / ${shape.columns}`,
    columnOut: `firstColumn + slice % ${subgroups[1]} * ${subgroupColumns} + slot % ${matrices[1]} * ${shape.columns} + e % ${shape.columns}`,
    hasOut: "rowOut < params.rows && columnOut < params.columns",
    out: "(group.z * params.rows + rowOut) * params.columns + columnOut",
    // Sums of the rows of A stand in every column of a matrix: those of column 0 in the first subgroups go out.
    sumRowOut: `firstRow + slice / ${subgroups[1]} * ${subgroupRows} + slot * ${shape.rows} + e / ${shape.columns}`,
    hasSumOut: `slice % ${subgroups[1]} == 0 && e % ${shape.columns} == 0 && sumRowOut < params.rows`,
    sumOut: "group.z * params.rows + sumRowOut",
  };
}
