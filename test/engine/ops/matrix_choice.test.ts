import { describe, expect, it } from "vitest";
import { knownMatrices } from "../../../engine/ops/products/known_matrices.ts";
import { matrixCandidates } from "../../../engine/ops/products/matrix_choice.ts";
import { type MatrixHost, matrixTilingOn, matrixVariants } from "../../../engine/ops/products/matrix_variants.ts";

describe.each(knownMatrices)("matrices of $adapters", ({ shape, subgroupSize }) => {
  const dtype = shape.component === "f32" ? "f32" : "f16";
  const limits = {
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 49152,
  };
  const host: MatrixHost = { features: new Set(["subgroups"]), limits, matrices: { shapes: [shape], subgroupSize } };

  /** Rows times columns of the tiles of the candidates. */
  function areas(rows: number, columns: number, device: MatrixHost): number[] {
    return matrixCandidates(device, dtype, { rows, columns, batches: 1 }).map((name) => {
      const variant = matrixVariants.find((known) => known.name === name);
      const tiling = variant ? matrixTilingOn(variant, device, dtype) : `no form ${name}`;
      return typeof tiling === "string" ? Number.NaN : tiling.tile[0] * tiling.tile[1];
    });
  }

  it.each([
    [16, 16],
    [1576, 192],
    [16384, 3072],
  ])("%i rows × %i columns have two candidates, with tiles of two sizes", (rows, columns) => {
    const found = areas(rows, columns, host);
    expect([found.length, new Set(found).size]).toEqual([2, 2]);
    expect(found.every((area) => area > 0)).toBe(true);
  });

  it("few results get smaller tiles than many", () => {
    expect(Math.max(...areas(1576, 192, host))).toBeLessThan(Math.min(...areas(16384, 3072, host)));
  });

  it("takes what fits in 64 invocations", () => {
    const small = { ...host, limits: { ...limits, maxComputeInvocationsPerWorkgroup: 64 } };
    expect(areas(16384, 3072, small).every((area) => area > 0)).toBe(true);
    expect(areas(16384, 3072, small)).not.toEqual(areas(16384, 3072, host));
  });

  it("has none where the adapter lists none", () => {
    expect(areas(64, 64, { ...host, matrices: { shapes: [], subgroupSize: undefined } })).toEqual([]);
  });
});
