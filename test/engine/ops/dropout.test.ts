import { describe, expect, it } from "vitest";
import { cast, dropout, hostUniform, OptionError, recordProgram, sum } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const key = { seed: 5, purpose: "block 3" };

describe("dropout", () => {
  it.each([1, 3, 64, 257])("keeps %i elements where the uniform numbers of its key say so", async (size) => {
    const values = Float32Array.from({ length: size }, (_, i) => i + 1);
    const numbers = hostUniform(size, { ...key, step: 7 });
    const y = await dropout(device.tensor(values), 0.25, { ...key, step: 7 }).read();
    expect([...y]).toEqual(
      Array.from(values, (value, i) => Math.fround((numbers[i] ?? 0) >= 0.25 ? value * Math.fround(1 / 0.75) : 0)),
    );
  });

  it("sends the gradient through what was kept", async () => {
    const x = device.tensor(new Float32Array(100).fill(3));
    const y = dropout(x, 0.5, key);
    const [dx = x] = y.program.gradients(sum(y), [x]);
    const [values, slopes] = [await y.read(), await dx.read()];
    expect([...slopes]).toEqual(Array.from(values, (value) => (value === 0 ? 0 : 2)));
    expect(new Set(slopes)).toEqual(new Set([0, 2]));
  });

  it("draws anew in each replay when its step is a tensor", async () => {
    const x = device.tensor(new Float32Array(64).fill(1));
    const program = recordProgram(device, (p) => ({
      y: dropout(x, 0.5, { ...key, step: p.input("step", [1], "u32") }),
    }));
    const run = async (step: number) => [...(await (await program.run({ step: [step] }, ["y"])).read()).y];
    const [first, second, again] = [await run(1), await run(2), await run(1)];
    expect(second).not.toEqual(first);
    expect(again).toEqual(first);
    program.destroy();
  });

  it("keeps the mean", async () => {
    const y = await dropout(device.tensor(new Float32Array(40_000).fill(1)), 0.3, key).read();
    // one deviation of the mean is √(0.3 / 0.7 / 40000) = 0.0033
    expect(Math.abs([...y].reduce((total, value) => total + value, 0) / y.length - 1)).toBeLessThan(0.014);
  });

  it.skipIf(!device.features.has("shader-f16"))("computes on half precision", async () => {
    const x = device.tensor(new Float32Array(65).fill(3));
    const y = await cast(dropout(cast(x, "f16"), 0.5, key), "f32").read();
    expect([...y]).toEqual([...(await dropout(x, 0.5, key).read())]);
  });

  it("is the identity at rate 0, and refuses rates that drop all", () => {
    const x = device.zeros([4]);
    expect(dropout(x, 0, key)).toBe(x);
    expect(() => dropout(x, 1, key)).toThrow(
      new OptionError("dropout: rate 1 is outside 0 … 1 (1 excluded); 0 turns it off"),
    );
  });
});
