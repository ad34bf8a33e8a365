import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../engine/index.ts";
import { matmul } from "../../../engine/ops/matmul.ts";
import { matmulVariants } from "../../../engine/ops/matmul_kernels.ts";
import {
  checkGradient,
  checkOperation,
  maxError,
  oddLength,
  roundOff,
  valueKind,
  valuesOf,
} from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { batchedMatmulReference } from "../../reference/matmul.ts";

/** Each drawn epilogue is a pipeline of its own, and a busy two-core machine takes seconds for one with shared tiles. */
const compileLimitMs = 150_000;

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("matmul", undefined));

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly batches: number;
  readonly batched: "both" | "a" | "b" | "none";
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly kind: Parameters<typeof valuesOf>[0];
  readonly seed: number;
}

/** Odd lengths, and their next multiples of 4, where kernels may load four numbers at once. */
function drawLength(longest: number): fc.Arbitrary<number> {
  return fc
    .tuple(oddLength(longest), fc.boolean())
    .map(([length, isWide]) => (isWide ? 4 * Math.ceil(length / 4) : length));
}

function drawCase(longest: number): fc.Arbitrary<Case> {
  return fc.record({
    rows: oddLength(longest),
    columns: drawLength(longest),
    depth: drawLength(longest),
    batches: fc.integer({ min: 1, max: 3 }),
    batched: fc.constantFrom("both", "a", "b", "none"),
    transposeA: fc.boolean(),
    transposeB: fc.boolean(),
    kind: valueKind,
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
  });
}

function operandsOf({ rows, columns, depth, batches, batched, transposeA, transposeB, kind, seed }: Case) {
  const a = [
    ...(batched === "both" || batched === "a" ? [batches] : []),
    ...(transposeA ? [depth, rows] : [rows, depth]),
  ];
  const b = [
    ...(batched === "both" || batched === "b" ? [batches] : []),
    ...(transposeB ? [columns, depth] : [depth, columns]),
  ];
  return {
    a: { data: valuesOf(kind, seed, size(a)), shape: a },
    b: { data: valuesOf(kind, seed + 1, size(b)), shape: b },
  };
}

function size(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

function referenceOf({ a, b }: Readonly<Record<string, ArrayLike<number>>>, drawn: Case): Float64Array {
  return batchedMatmulReference(a ?? [], b ?? [], { ...drawn, batches: drawn.batched === "none" ? 1 : drawn.batches });
}

/** A sum of `depth` products errs by at most (depth + 1) u Σ|a b| (Higham, eq. 3.5), with 3 for the sums of parts. */
function boundOf(depth: number): number {
  return (depth + 4) * roundOff;
}

/** The largest Σ|a b|. */
function floorOf(drawn: Case): number {
  const { a, b } = operandsOf(drawn);
  return Math.max(1e-12, ...referenceOf({ a: a.data.map(Math.abs), b: b.data.map(Math.abs) }, drawn));
}

describe.each(matmulVariants.map((variant) => variant.name))("variant %s", (name) => {
  it(
    "equals the float64 product for odd shapes, transposes, batches and extreme values",
    async (context) => {
      const variant = matmulVariants.find((candidate) => candidate.name === name);
      const reason = variant?.unsupported(device, { rows: 64, columns: 64, depth: 64, batches: 1 });
      if (reason) context.skip(`${device.info.name}: ${reason}`);
      device.tuning.force("matmul", name);
      await checkOperation(device, {
        cases: drawCase(131),
        operands: operandsOf,
        run: ({ a, b }, { transposeA, transposeB }) => ({ y: matmul(given(a), given(b), { transposeA, transposeB }) }),
        reference: (operands, drawn) => ({ y: referenceOf(operands, drawn) }),
        bound: ({ depth }) => boundOf(depth),
        floor: floorOf,
        runs: 20,
      });
    },
    compileLimitMs,
  );
});

it("splits a long depth the same way in every run", async () => {
  const name = device.subgroupSize === 8 ? "subgroup_split" : "register_split";
  device.tuning.force("matmul", name);
  const a = device.tensor(valuesOf("normal", 1, 5 * 1576), [5, 1576]);
  const b = device.tensor(valuesOf("normal", 2, 1576 * 7), [1576, 7]);
  const y = matmul(a, b);
  expect(y.program.commands.map((command) => command.type === "dispatch" && command.kernel.name)).toContain(
    "matmul_sum",
  );
  const first = await y.read();
  expect(await matmul(a, b).read()).toEqual(first);
  const expected = batchedMatmulReference(valuesOf("normal", 1, 5 * 1576), valuesOf("normal", 2, 1576 * 7), {
    batches: 1,
    rows: 5,
    columns: 7,
    depth: 1576,
  });
  expect(maxError(first, expected)).toBeLessThan(4 * boundOf(1576));
});

it("has the gradients of central differences for every transpose and batching", async () => {
  await checkGradient(device, {
    cases: drawCase(33),
    operands: operandsOf,
    run: ({ a, b }, { transposeA, transposeB }) => matmul(given(a), given(b), { transposeA, transposeB }),
    reference: referenceOf,
    wrt: ["a", "b"],
    runs: 25,
  });
});

it("multiplies f16 operands with f32 sums", async (context) => {
  if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
  // Small whole numbers are exact in f16, and so are their sums below 2048.
  const rows = 19;
  const depth = 37;
  const columns = 41;
  const a = Array.from({ length: rows * depth }, (_, i) => (i * 7) % 5);
  const b = Array.from({ length: depth * columns }, (_, i) => ((i * 11) % 7) - 3);
  const y = await matmul(
    device.tensor(Uint16Array.from(a, halfOfSmallInteger), [rows, depth], "f16"),
    device.tensor(Uint16Array.from(b, halfOfSmallInteger), [depth, columns], "f16"),
  ).read();
  const expected = batchedMatmulReference(a, b, { batches: 1, rows, columns, depth });
  expect([...y]).toEqual(Array.from(expected, halfOfSmallInteger));
});

/** f16 bit pattern of an integer below 2048 in magnitude. */
function halfOfSmallInteger(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) + ((exponent + 15) << 10) + (Math.abs(value) / 2 ** exponent - 1) * 1024;
}

it("names both shapes when the inner lengths differ", () => {
  const a = device.tensor([1, 2, 3, 4, 5, 6], [2, 3]);
  expect(() => matmul(a, a)).toThrow(/\[2, 3\] times \[2, 3\] does not fit; the inner lengths \(3, 2\)/);
});

it("names the operand that is a vector", () => {
  const a = device.tensor([1, 2, 3], [3]);
  expect(() => matmul(device.tensor([1, 2, 3], [1, 3]), a)).toThrow(/b has shape \[3\], expected at least two axes/);
});

it("refuses operands of different types", () => {
  const a = device.tensor([1, 2, 3], [1, 3]);
  const b = device.tensor(new Uint16Array(3), [3, 1], "f16");
  expect(() => matmul(a, b)).toThrow(/a is f32 and b f16/);
});

function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("an operand is missing");
  return value;
}
