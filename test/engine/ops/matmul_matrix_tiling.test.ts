import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { knownMatrices } from "../../../engine/ops/products/known_matrices.ts";
import { matrixText } from "../../../engine/ops/products/matrix_text.ts";
import { matrixIndices, matrixTiling } from "../../../engine/ops/products/matrix_tiling.ts";
import { matrixVariants } from "../../../engine/ops/products/matrix_variants.ts";
import { expression } from "./index_expression.ts";
import { followMatrixKernel, type ProductParams } from "./matrix_interpreter.ts";

interface Product {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly batches: number;
  readonly splitDepth: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly sharesB: boolean;
}

function paramsOf({ rows, columns, depth, batches, transposeA, transposeB, sharesB, ...cut }: Product): ProductParams {
  const splitDepth = Math.min(cut.splitDepth, 16 * Math.ceil(depth / 16));
  const splits = Math.ceil(depth / splitDepth);
  return {
    rows,
    columns,
    depth,
    parts: batches * splits,
    splits,
    splitDepth,
    aRow: transposeA ? 1 : depth,
    aDepth: transposeA ? rows : 1,
    aBatch: rows * depth,
    bDepth: transposeB ? 1 : columns,
    bColumn: transposeB ? depth : 1,
    bBatch: sharesB ? 0 : depth * columns,
  };
}

describe.each(knownMatrices)(
  "$shape.rows×$shape.columns×$shape.depth $shape.component ($adapters)",
  ({ shape, subgroupSize }) => {
    const tilings = matrixVariants.map(({ form }) => matrixTiling(shape, subgroupSize, form));

    it("every form meets each element once, in bounds and aligned, at the edges of its tile", {
      timeout: 120_000,
    }, () => {
      for (const tiling of tilings) {
        const [rows, columns] = tiling.tile;
        const met = followMatrixKernel(
          tiling,
          paramsOf({
            rows: rows + 3,
            columns: columns + 8,
            depth: tiling.stepDepth + 8,
            batches: 1,
            splitDepth: 2 ** 20,
            transposeA: false,
            transposeB: false,
            sharesB: false,
          }),
        );
        // Inside the first tile both operands come straight from memory, at the edges and for the rest of the depth they are staged.
        expect(Math.min(met.direct, met.staged)).toBeGreaterThan(0);
      }
    });

    it("drawn products of drawn forms, transposed, in batches and in parts of the depth", { timeout: 120_000 }, () => {
      const length = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(8, 16, 32, 64));
      const drawn = fc.record({
        rows: length,
        columns: length,
        depth: length,
        batches: fc.constantFrom(1, 2),
        splitDepth: fc.constantFrom(16, 32, 48, 2 ** 20),
        transposeA: fc.boolean(),
        transposeB: fc.boolean(),
        sharesB: fc.boolean(),
      });
      const small = tilings.filter(({ invocations }) => invocations <= 128);
      fc.assert(
        fc.property(fc.constantFrom(...small), drawn, (tiling, product) => {
          followMatrixKernel(tiling, paramsOf(product));
        }),
        { numRuns: 12 },
      );
    });

    it("has its indices, and no other ones, in the text of the kernel", () => {
      for (const tiling of tilings) {
        const text = matrixText("product", tiling, shape.component === "f32" ? "f32" : "f16", true);
        const index = matrixIndices(tiling);
        const texts = Object.values(index).filter((value) => typeof value === "string");
        expect(texts.filter((expected) => !text.includes(expected))).toEqual([]);
        for (const of of [index.stagedA, index.directA, index.stagedB, index.directB])
          expect(text).toContain(of(1, shape.depth));
        expect(text).toContain(`@workgroup_size(${tiling.invocations}) @subgroup_size(${subgroupSize})`);
        expect(text.match(/subgroupMatrixLoad/g)).toHaveLength(
          2 * (tiling.stepDepth / shape.depth) * (tiling.matrices[0] + tiling.matrices[1]),
        );
      }
    });
  },
);

describe("the check", () => {
  const tiling = matrixTiling({ rows: 8, columns: 16, depth: 16, component: "f16", result: "f32" }, 16, {
    subgroups: [1, 2],
    matrices: [2, 2],
  });
  const product = { rows: 19, columns: 70, depth: 40, batches: 1, splitDepth: 2 ** 20, transposeA: false };
  const params = paramsOf({ ...product, transposeB: true, sharesB: false });

  it.each([
    ["a step that is too long", { stepDepth: tiling.stepDepth + 16 }],
    ["lines of a tile that overlap", { strideA: 24 }],
    ["lines that are not aligned", { strideB: tiling.strideB + 1 }],
    ["too few invocations", { invocations: 16 }],
    ["tiles that overlap", { tile: [8, 64] as const }],
    ["a subgroup of another size", { subgroupSize: 8 }],
  ])("finds %s", (_what, change) => {
    expect(() => followMatrixKernel(tiling, params)).not.toThrow();
    expect(() => followMatrixKernel({ ...tiling, ...change }, params)).toThrow();
  });

  it("evaluates as WGSL does", () => {
    const names = { x: 7, "params.n": 3 };
    expect(expression("x / params.n * 2 + x % 4")(names)).toBe(7);
    expect(expression("select(1, (x + 1) * 2, x <= 7 && params.n == 3)")(names)).toBe(16);
    expect(expression("min(x, params.n)")(names)).toBe(3);
    expect(() => expression("x * 4294967295")(names)).toThrow(/beyond 32 bits/);
    expect(() => expression("y")(names)).toThrow(/no value of y/);
    expect(() => expression("x - 1")(names)).toThrow();
  });
});
