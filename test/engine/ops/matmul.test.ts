import fc from "fast-check";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Device, sum } from "../../../engine/index.ts";
import { matmul } from "../../../engine/ops/matmul.ts";
import { productOrder } from "../../../engine/ops/matmul_choice.ts";
import { matmulVariants } from "../../../engine/ops/matmul_kernels.ts";
import {
  checkGradient,
  checkOperation,
  expectClose,
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

/** One by one; four at once; with rows that are a multiple of 4, and that are not. */
const halfProducts = [
  { rows: 19, depth: 37, columns: 41, transposeA: false },
  { rows: 35, depth: 68, columns: 40, transposeA: false },
  { rows: 36, depth: 68, columns: 40, transposeA: true },
  { rows: 35, depth: 68, columns: 40, transposeA: true },
];
const halfVariants = matmulVariants.filter(({ split }) => !split).map((variant) => variant.name);

describe.each(halfVariants)("variant %s", (name) => {
  it("multiplies f16 operands with f32 sums", { timeout: compileLimitMs }, async (context) => {
    const variant = matmulVariants.find((candidate) => candidate.name === name);
    const noHalf = device.features.has("shader-f16") ? undefined : "no shader-f16";
    const reason = noHalf ?? variant?.unsupported(device, { rows: 64, columns: 64, depth: 64, batches: 1 });
    if (reason) context.skip(`${device.info.name}: ${reason}`);
    device.tuning.force("matmul", name);
    for (const product of halfProducts) {
      const { y, expected } = multiplyHalves(product);
      expect([...(await y.read())]).toEqual(expected);
    }
  });
});

function multiplyHalves({ rows, depth, columns, transposeA }: (typeof halfProducts)[number]) {
  // Small whole numbers are exact in f16, and so are their sums below 2048.
  const a = Array.from({ length: rows * depth }, (_, i) => (i * 7) % 5);
  const b = Array.from({ length: depth * columns }, (_, i) => ((i * 11) % 7) - 3);
  const left = transposeA ? a.map((_, i) => a[(i % rows) * depth + Math.floor(i / rows)] ?? 0) : a;
  const y = matmul(
    device.tensor(Uint16Array.from(left, halfOfSmallInteger), transposeA ? [depth, rows] : [rows, depth], "f16"),
    device.tensor(Uint16Array.from(b, halfOfSmallInteger), [depth, columns], "f16"),
    { transposeA },
  );
  const reference = batchedMatmulReference(a, b, { batches: 1, rows, columns, depth });
  return { y, expected: Array.from(reference, halfOfSmallInteger) };
}

it("gives the same bits with a tile of 32 rows as with one of 16", { timeout: compileLimitMs }, async (context) => {
  const reason = matmulVariants
    .find(({ name }) => name === "subgroup_32")
    ?.unsupported(device, { rows: 64, columns: 64, depth: 64, batches: 1 });
  if (reason) context.skip(`${device.info.name}: ${reason}`);
  const a = device.tensor(valuesOf("normal", 1, 67 * 36), [67, 36]);
  const b = device.tensor(valuesOf("normal", 2, 36 * 44), [36, 44]);
  const results: ArrayLike<number>[] = [];
  for (const name of ["subgroup", "subgroup_32"]) {
    device.tuning.force("matmul", name);
    results.push(await matmul(a, b).read());
  }
  expect(results[1]).toEqual(results[0]);
});

describe("the order of candidates", () => {
  const shapes = [16, 300, 4096].flatMap((rows) =>
    [64, 4096].map((columns) => ({ rows, columns, depth: 4096, batches: 1 })),
  );
  const like = (traits: object): Device =>
    new Proxy(device, { get: (target, name) => Reflect.get(name in traits ? traits : target, name) });

  it.each([
    [
      "a GPU that chooses among subgroups of 8 to 32",
      { isSoftware: false, subgroupSize: undefined, subgroupRange: [8, 32] },
    ],
    ["a GPU with subgroups of 64", { isSoftware: false, subgroupSize: 64, subgroupRange: undefined }],
    ["a GPU without subgroups", { isSoftware: false, subgroupSize: undefined, subgroupRange: undefined }],
    ["a CPU with subgroups of 8", { isSoftware: true, subgroupSize: 8, subgroupRange: undefined }],
    ["a CPU without subgroups", { isSoftware: true, subgroupSize: undefined, subgroupRange: undefined }],
  ])("has one to four variants, of which one runs: %s", (_, traits) => {
    const names = new Set(matmulVariants.map(({ name }) => name));
    for (const shape of shapes) {
      const order = productOrder(like(traits), shape);
      expect(order.length).toBeLessThanOrEqual(4);
      expect(order.filter((name) => !names.has(name))).toEqual([]);
      const runs = matmulVariants.filter(({ name }) => order.includes(name));
      expect(runs.some((variant) => variant.unsupported(like(traits), shape) === undefined)).toBe(true);
    }
  });

  it("has a subgroup tile where the adapter would choose the size of subgroups", () => {
    const open = like({ isSoftware: false, subgroupSize: undefined, subgroupRange: [32, 64] });
    expect(productOrder(open, { rows: 4096, columns: 4096, depth: 64, batches: 1 })).toContain("pinned_32");
  });

  it("begins with 32 rows on a CPU where there are many", () => {
    const cpu = like({ isSoftware: true, subgroupSize: 8 });
    const first = (rows: number) => productOrder(cpu, { rows, columns: 192, depth: 192, batches: 1 })[0];
    expect([first(255), first(256)]).toEqual(["subgroup", "subgroup_32"]);
  });
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

it("leading axes broadcast, and gradients are summed over what repeats", async () => {
  const [left, right] = [valuesOf("normal", 1, 2 * 6), valuesOf("normal", 2, 3 * 15)];
  const [a, b] = [device.tensor(left, [2, 1, 2, 3]), device.tensor(right, [3, 3, 5])];
  const y = matmul(a, b);
  expect(y.shape).toEqual([2, 3, 2, 5]);
  const values = await y.read();
  const expected = Array.from({ length: 60 }, (_, at) => {
    const [n, m, p, i] = [at % 5, Math.floor(at / 5) % 2, Math.floor(at / 10) % 3, Math.floor(at / 30)];
    return [0, 1, 2].reduce(
      (total, k) => total + (left[(i * 2 + m) * 3 + k] ?? 0) * (right[(p * 3 + k) * 5 + n] ?? 0),
      0,
    );
  });
  expectClose("y", values, expected, 20 * roundOff, 1);
  const [da = a] = y.program.gradients(sum(y), [a]);
  const slopes = Array.from({ length: 12 }, (_, at) => {
    const k = at % 3;
    return right.reduce((total, value, j) => total + (Math.floor(j / 5) % 3 === k ? value : 0), 0);
  });
  expectClose("da", await da.read(), slopes, 60 * roundOff, 1);
  expect(() => matmul(a, device.zeros([2, 3, 5]))).not.toThrow();
  expect(() => matmul(device.zeros([2, 2, 3]), b)).toThrow("matmul: shapes [2] and [3] do not broadcast");
});
