import { d, tgpu } from "typegpu";
import { expect, it } from "vitest";
import {
  attention,
  type Device,
  defineKernel,
  MissingFeatureError,
  matmul,
  OptionError,
  Program,
  recordProgram,
  stepScalars,
} from "../../../engine/index.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { recordVitStep, type VitShape, vitBatch } from "../vit_step.ts";

const device = await testDevice({ reproducible: true });
const shape: VitShape = { width: 24, depth: 2, heads: 3, tokens: 21, batch: 3, classes: 10 };

/** Of the parameters and both moments after some updates; the same on every adapter, compiler and runtime. */
const trained = "35bb8ad263e13208";

async function train(on: Device, updates: number): Promise<string> {
  const { program, ...arenas } = recordVitStep(on, shape);
  for (let step = 1; step <= updates; step++) {
    await program.run({ ...vitBatch(shape, step), scalars: stepScalars({ step, learningRate: 1e-3, beta1: 0.9 }) });
  }
  const values: number[] = [];
  for (const arena of Object.values(arenas)) for (const chunk of arena.chunks) values.push(...(await chunk.read()));
  program.destroy();
  for (const arena of Object.values(arenas)) arena.destroy();
  return digest(Float32Array.from(values));
}

async function digest(values: Float32Array<ArrayBuffer>): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", values));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .slice(0, 16);
}

it("trains a transformer to the same bytes on every adapter", { timeout: 120_000 }, async () => {
  expect(await train(device, 3)).toBe(trained);
});

/** More of them: MIMREFINE_TABLES=1000 npx vitest run test/engine/run/reproducible.test.ts -t choice */
const tables = Number(globalThis.process?.env.MIMREFINE_TABLES ?? 4);

it("no choice of admitted kernels changes a byte", { timeout: 120_000 + 60_000 * tables }, async () => {
  const random = randomSource(3);
  const found = new Set<string>();
  for (let table = 0; table < tables; table++) {
    const choices = [...device.tuning.requests].map(([key, { candidates, others }]): [string, string] => {
      const names = [...candidates, ...others];
      return [key, names[Math.floor(random() * names.length)] ?? ""];
    });
    device.tuning.load(choices);
    found.add(await train(device, 3));
  }
  device.tuning.load([]);
  expect([...found]).toEqual([trained]);
});

it("refuses a variant of another order by name", () => {
  recordProgram(device, (p) => ({
    y: attention(p.input("qkv", [5, 24]), { heads: 2, segments: [{ firstRow: 0, batch: 1, tokens: 5 }] }),
  }));
  const request = [...device.tuning.requests.values()].find(({ operation }) => operation === "attention");
  const admitted = [...(request?.candidates ?? []), ...(request?.others ?? [])];
  expect(["register", "subgroup"]).toEqual(expect.arrayContaining(admitted)); // some devices have no subgroups
  expect(admitted).toContain("register");
  const example = (): unknown => request?.example(new Program(device), "shared");
  expect(example).toThrow(OptionError);
  expect(example).toThrow(
    "attention: variant shared does not run here (it adds the products of a score in another order, which the reproducible mode does not admit)",
  );
});

it("operands of a product below 2^-51 count as 0 in every variant, and infinities and NaN go on", async () => {
  const a = device.tensor(
    [2 ** -52, 2 ** -51, -1, Number.POSITIVE_INFINITY, Number.NaN, -(2 ** -60), 3, 2 ** -101],
    [8, 1],
  );
  const b = device.tensor([1, 2 ** -30], [1, 2]);
  const results = new Set<string>();
  for (const name of ["register", "subgroup", "shared_32", "shared_64"]) {
    device.tuning.force("matmul", name);
    results.add([...(await matmul(a, b).read())].join(" "));
  }
  device.tuning.force("matmul", undefined);
  const [small, infinite] = [2 ** -51, Number.POSITIVE_INFINITY];
  const expected = [
    0,
    0,
    small,
    small * 2 ** -30,
    -1,
    -(2 ** -30),
    infinite,
    infinite,
    NaN,
    NaN,
    0,
    0,
    3,
    3 * 2 ** -30,
    0,
    0,
  ];
  expect([...results]).toEqual([expected.join(" ")]);
});

it.each([4, 5])(
  "factors of attention below 2^-51 count as 0 in every variant, heads of %i dimensions",
  async (headDim) => {
    const values = [2 ** -52, 2 ** -51, -(2 ** -51), 2 ** -101, 3].slice(0, headDim);
    const results = new Set<string>();
    for (const name of ["register", "subgroup"]) {
      device.tuning.force("attention", name);
      const row = device.tensor([...values.map(() => 1), ...values.map(() => 1), ...values], [1, 1, 3 * headDim]);
      results.add([...(await attention(row, { heads: 1 }).read())].join(" ")); // one token, so that its value is the result
    }
    device.tuning.force("attention", undefined);
    expect([...results]).toEqual([[0, 2 ** -51, -(2 ** -51), 0, 3].slice(0, headDim).join(" ")]);
  },
);

it("refuses a kernel without a canonical form by name", async () => {
  const source = `struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1) fn wave() { y[0] = sin(f32(params.count)); }`;
  const Params = d.struct({ count: d.u32 }).$name("Params");
  const layout = tgpu.bindGroupLayout({
    params: { uniform: Params },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  });
  const wave = defineKernel({ name: "wave", source, params: Params, layout });
  const program = recordProgram(device, (p) => {
    const y = p.empty([1]);
    p.dispatch(wave, { count: 1 }, { y }, [1]);
    return { y };
  });
  await expect(program.run({})).rejects.toThrow(
    /^kernel wave is not admitted in the reproducible mode: WGSL line 4: sin of f32 has no canonical form/,
  );
});

it("refuses half precision by name", () => {
  expect(() => device.requireFeature("cast", "shader-f16")).toThrow(MissingFeatureError);
  expect(() => device.requireFeature("cast", "shader-f16")).toThrow("which the reproducible mode does not admit");
});

it("numbers from the host are multiples of 2^-125, as all numbers of the mode are", async () => {
  const given = Float32Array.of(1e-40, -(2 ** -126), 3.5 * 2 ** -125, 2 ** -102, Number.NaN, 1);
  expect([...(await device.tensor(given).read())]).toEqual([0, -0, 4 * 2 ** -125, 2 ** -102, Number.NaN, 1]);
  expect(given[0]).toBe(Math.fround(1e-40));
});

it("an exported step has the texts that the device compiles, with small operands of products as 0", async () => {
  const program = recordProgram(device, (p) => ({ y: matmul(p.input("a", [8, 8]), p.input("b", [8, 8])) }));
  const text = await new Blob([await program.export()]).text();
  expect(text).toContain("canonical_operand_");
});
