import fc from "fast-check";
import { expect, it } from "vitest";
import { OptionError } from "../../../engine/index.ts";
import { clamp } from "../../../engine/ops/clamp.ts";
import { checkGradient, checkOperation, oddLength, valueKind, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const range = { low: -0.5, high: 0.25 };
const drawn = fc.record({ size: oddLength(257), kind: valueKind, seed: fc.integer() });
const operands = ({ size, kind, seed }: { size: number; kind: Parameters<typeof valuesOf>[0]; seed: number }) => ({
  x: { data: valuesOf(kind, seed, size), shape: [size] },
});
const evaluate = ({ x }: Readonly<Record<string, Float64Array>>) =>
  Float64Array.from(x ?? [], (v) => Math.min(Math.max(v, range.low), range.high));

it("limits values exactly", async () => {
  await checkOperation(device, {
    cases: drawn,
    operands,
    run: (given) => ({ y: clamp(operand(given, "x"), range) }),
    reference: (given) => ({ y: evaluate(given) }),
    bound: () => 0,
  });
});

it("passes the gradient inside the range only", async () => {
  await checkGradient(device, {
    cases: drawn,
    operands,
    run: (given) => clamp(operand(given, "x"), range),
    reference: evaluate,
    wrt: ["x"],
    step: 1e-7,
  });
});

it("leaves the side open that is not given", async () => {
  expect([...(await clamp(device.tensor([-1e30, 1e30]), { low: 0 }).read())]).toEqual([0, Math.fround(1e30)]);
});

it("refuses an empty range", () => {
  expect(() => clamp(device.tensor([1]), { low: 2, high: 1 })).toThrow(OptionError);
});
