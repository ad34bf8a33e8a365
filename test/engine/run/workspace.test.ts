import { expect, it } from "vitest";
import { mul, openDevice, recordProgram, sum, Workspace } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const values = Float32Array.from({ length: 4096 }, (_, i) => i % 7);

/** Sum of `x²ⁿ`, which needs two arenas: no launch may read and write the same. */
function powerSum(of: typeof device, squarings: number, workspace?: Workspace) {
  return recordProgram(
    of,
    (program) => {
      let x = program.input("x", [values.length]);
      for (let i = 0; i < squarings; i++) x = mul(x, x);
      return { total: sum(x), squared: mul(x, x) };
    },
    { name: `squarings ${squarings}`, ...(workspace ? { workspace } : {}) },
  );
}

const expected = (squarings: number): number => values.reduce((total, value) => total + value ** (2 ** squarings), 0);

it("gives programs that run in turn one memory, of the size that is planned", async () => {
  const workspace = new Workspace(device);
  const [short, long] = [powerSum(device, 1, workspace), powerSum(device, 2, workspace)];
  const before = device.counters.heldBytes;
  expect(workspace.sizeBytes).toBeLessThan(short.stats.plannedPeakBytes + long.stats.plannedPeakBytes);
  for (let i = 0; i < 2; i++) {
    const one = await short.run({ x: values }, ["total"]);
    const two = await long.run({ x: values }, ["total"]);
    expect([(await one.read()).total[0], (await two.read()).total[0]]).toEqual([expected(1), expected(2)]);
  }
  const inputs = short.stats.inputBytes + long.stats.inputBytes;
  const small = 8192; // uniforms and the buffer of the read-back
  const held = device.counters.heldBytes - before;
  expect(held).toBeGreaterThanOrEqual(workspace.sizeBytes + inputs);
  expect(held).toBeLessThanOrEqual(workspace.sizeBytes + inputs + small);
  await expect(long.outputs.squared.read()).resolves.toHaveLength(values.length);
  await expect(short.outputs.squared.read()).rejects.toThrow(/another program of the workspace/);
  expect(() => powerSum(device, 3, workspace)).toThrow(/record all its programs before one of them runs/);
  short.destroy();
  await long.run({ x: values });
  long.destroy();
  const readBack = 4 * values.length;
  expect(device.counters.heldBytes - before).toBeLessThanOrEqual(readBack + small);
});

it("keeps programs apart where canaries stand behind every tensor", async () => {
  const guarded = await openDevice({ canaries: true, notice: () => undefined });
  const workspace = new Workspace(guarded);
  const programs = [powerSum(guarded, 1, workspace), powerSum(guarded, 2, workspace)];
  for (const program of programs) await program.run({ x: values });
  const last = await programs[0]?.run({ x: values }, ["total"]);
  expect((await last?.read())?.total[0]).toBe(expected(1));
  for (const program of programs) program.destroy();
  guarded.close();
});
