import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import "../../../engine/index.ts";
import { paramsOnGrid } from "../../../engine/core/number_grid.ts";
import { operationsWithVariants, variantNames } from "../../../engine/ops/choose_variant.ts";
import { fillKernel } from "../../../engine/ops/fill.ts";

it("CONTRIBUTING states the canonical order of every operation with variants, and of no other", () => {
  const text = readFileSync("CONTRIBUTING.md", "utf8");
  const table = text.slice(text.indexOf("| operation | canonical order |"), text.indexOf("Numbers are 0 or multiples"));
  const rows = table.split("\n").slice(2);
  const named = rows.flatMap((row) => [...(row.split("|")[1] ?? "").matchAll(/`(\w+)`/g)].map(([, name]) => name));
  // Another test declares "choice" in the same process.
  expect(named.sort()).toEqual(operationsWithVariants().filter((name) => name !== "choice"));
  expect(variantNames("matmul").length).toBeGreaterThan(1);
});

it("a count of 2^31 is refused in the reproducible mode, whose zero is the upper bit of it", () => {
  const { params } = fillKernel;
  if (!params) throw new Error("fill has no uniforms");
  expect(paramsOnGrid("fill", params, { count: 2 ** 31 - 1, bits: 0xffffffff })).toMatchObject({ bits: 0xffffffff });
  expect(() => paramsOnGrid("fill", params, { count: 2 ** 31, bits: 0 })).toThrow(
    "fill: count is 2147483648, and the reproducible mode takes less than 2^31",
  );
});
