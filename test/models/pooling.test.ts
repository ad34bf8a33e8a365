import { expect, it } from "vitest";
import { cast, recordProgram } from "../../engine/index.ts";
import { maxError, valuesOf } from "../../engine/testing/index.ts";
import { poolingTable, poolTokens } from "../../models/index.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();
const halfRoundOff = 2 ** -11; // 11-bit mantissa

it("pools f16 rows into f32 features and sends their gradient back in f16", async (context) => {
  if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
  const segments = [{ firstRow: 0, batch: 3, tokens: 5, rows: 2, columns: 2 }];
  const [rows, columns] = [15, 7];
  const recorded = recordProgram(device, (program) => {
    const table = poolingTable(program, segments, "avg", 1);
    const x = program.input("x", [rows, columns]);
    const seed = program.input("seed", [3, columns]);
    const half = cast(x, "f16");
    const [pooled, expected] = [poolTokens(half, table), poolTokens(x, table)];
    const [dHalf] = program.gradients(pooled, [half], seed);
    const [dx] = program.gradients(expected, [x], seed);
    expect([pooled.dtype, dHalf?.dtype]).toEqual(["f32", "f16"]);
    return { pooled, expected, dHalf: cast(dHalf ?? half, "f32"), dx: dx ?? x };
  });
  const inputs = { x: valuesOf("normal", 1, rows * columns), seed: valuesOf("normal", 2, 3 * columns) };
  const names = ["pooled", "expected", "dHalf", "dx"] as const;
  const values = await (await recorded.run(inputs, names)).read();
  // Each of the four rows that are averaged is rounded once, as is each gradient; a mean is at most as large as its rows.
  expect(maxError(values.pooled, values.expected, Math.max(...inputs.x.map(Math.abs)))).toBeLessThan(halfRoundOff);
  expect(maxError(values.dHalf, values.dx)).toBeLessThan(halfRoundOff);
  recorded.destroy();
});
