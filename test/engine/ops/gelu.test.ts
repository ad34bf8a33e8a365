import { readdir, readFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, it } from "vitest";
import { recordProgram } from "../../../engine/index.ts";
import { cast } from "../../../engine/ops/cast.ts";
import { gelu, geluGrad } from "../../../engine/ops/gelu.ts";
import { checkGradient, oddLength, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { geluReference, geluSlope } from "../../reference/gelu.ts";

const device = await testDevice({ canaries: true });
const grid = Float32Array.from({ length: 20_001 }, (_, i) => (i - 10_000) / 1250); // -8 … 8

it("gelu is exact to 1e-7 of erf and the roundings of the product", async () => {
  const y = await gelu(device.tensor(grid)).read();
  const expected = geluReference(grid);
  // erf within 1e-7 enters times |x| / 2; 1 + erf and two products round (3 half units of |y| <= |x|)
  const excess = grid.map(
    (v, i) => Math.abs((y[i] ?? Number.NaN) - (expected[i] ?? 0)) - Math.abs(v) * (0.5e-7 + 3 * 2 ** -24),
  );
  expect(Math.max(...excess)).toBeLessThanOrEqual(0);
});

it("the slope of gelu is exact to 2e-7", async () => {
  const dx = await geluGrad(device.tensor(grid), device.tensor(new Float32Array(grid.length).fill(1))).read();
  // 0.5e-7 of erf, one rounding of a value up to 1.13 and three of x phi(x) <= 0.25 (exp2 within 4 units)
  const errors = grid.map((v, i) => Math.abs((dx[i] ?? Number.NaN) - geluSlope(v)));
  expect(Math.max(...errors)).toBeLessThanOrEqual(2e-7);
});

it("gelu keeps its limits for large arguments", async () => {
  const y = await gelu(device.tensor([-1e30, -1000, 0, 1000, 1e30])).read();
  expect([...y]).toEqual([-0, -0, 0, 1000, Math.fround(1e30)]);
});

it("gelu agrees with float64 for all sizes, with and without four numbers per element", async () => {
  await fc.assert(
    fc.asyncProperty(oddLength(257), valueKind, fc.integer(), async (size, kind, seed) => {
      const x = valuesOf(kind, seed, size);
      const y = await gelu(device.tensor(x)).read();
      const expected = geluReference(x);
      x.forEach((v, i) => {
        expect(Math.abs((y[i] ?? Number.NaN) - (expected[i] ?? 0))).toBeLessThanOrEqual(Math.abs(v) * 2.5e-7);
      });
    }),
    { numRuns: 15 },
  );
});

it("the gradient of gelu agrees with finite differences", async () => {
  await checkGradient(device, {
    cases: fc.record({ size: oddLength(67), seed: fc.integer() }),
    operands: ({ size, seed }) => ({ x: { data: valuesOf("normal", seed, size), shape: [size] } }),
    run: ({ x }) => {
      if (!x) throw new Error("x is missing");
      return gelu(x);
    },
    reference: ({ x }) => geluReference(x ?? []),
    wrt: ["x"],
  });
});

it("gelu writes over an operand that is not needed afterwards, with the same bits", async () => {
  const x = valuesOf("normal", 3, 260);
  const step = recordProgram(device, (p) => ({ y: gelu(gelu(p.input("x", [260]))) }), { inference: true });
  expect(step.print()).toContain("gelu (in place)");
  const { y } = await (await step.run({ x }, ["y"])).read();
  expect(y).toEqual(await gelu(device.tensor(await gelu(device.tensor(x)).read())).read());
});

it("all shaders that need erf carry the same text, for one number or for four", async () => {
  const folder = new URL("../../../shaders/", import.meta.url);
  const texts = new Map<string, string>();
  for (const file of await readdir(folder)) {
    const text = (await readFile(new URL(file, folder), "utf8")).match(/fn erf\([\s\S]*?\n}\n/)?.[0];
    if (text) texts.set(file, text);
  }
  const generic = texts.get("gelu.wgsl") ?? "";
  // some kernels compute always one number at a time, and need no conversions, or always four
  const one = generic.replaceAll(/Element\(([\d.]+)\)/g, "$1").replaceAll("Element", "f32");
  const four = generic.replaceAll("Element", "vec4f");
  expect(new Set([generic, one, four]).size).toBe(3);
  expect(texts.size).toBeGreaterThan(3);
  for (const [file, text] of texts) expect([generic, one, four], file).toContain(text);
});

it.skipIf(!device.features.has("shader-f16"))("gelu and its gradient store half precision", async () => {
  for (const size of [8, 7]) {
    const x = cast(device.tensor(valuesOf("normal", 11, size)), "f16");
    const rounded = await cast(x, "f32").read();
    const y = await cast(gelu(x), "f32").read();
    const dx = await cast(geluGrad(x, x), "f32").read();
    rounded.forEach((v, i) => {
      // 11-bit mantissa: half a unit is 2^-11 of the value
      expect(Math.abs((y[i] ?? Number.NaN) - (geluReference([v])[0] ?? 0))).toBeLessThanOrEqual(
        2 ** -11 * Math.abs(v) + 1e-7,
      );
      expect(Math.abs((dx[i] ?? Number.NaN) - v * geluSlope(v))).toBeLessThanOrEqual(
        2 ** -11 * 1.13 * Math.abs(v) + 1e-7,
      );
    });
  }
});
