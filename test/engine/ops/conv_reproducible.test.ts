import { afterEach, expect, it } from "vitest";
import { type ConvOptions, conv2d, type Device, recordProgram } from "../../../engine/index.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ reproducible: true });
const interpreter = await testDevice({ adapter: "interpreter", reproducible: true });
afterEach(() => device.tuning.force("conv", undefined));

/** A convolution, and the digest of result and gradients: the same on every adapter, compiler and runtime, by every variant. */
interface Case {
  readonly x: readonly number[];
  readonly weight: readonly number[];
  readonly y: readonly number[];
  readonly options: Omit<ConvOptions, "bias">;
  readonly digest: string;
}

const cases: Readonly<Record<string, Case>> = {
  "channels of four": {
    ...{ x: [2, 7, 6, 8], weight: [12, 3, 2, 8], y: [2, 4, 7, 12] },
    options: { stride: [2, 1], padding: [1, 1] },
    digest: "cc830c6262dd",
  },
  "groups of other channels": {
    ...{ x: [3, 5, 6, 10], weight: [6, 2, 3, 5], y: [3, 3, 3, 6] },
    options: { groups: 2, dilation: [2, 1], stride: [1, 2], padding: [0, 1] },
    digest: "e1ec43e7756e",
  },
};

/** Of ordinary size, with zeros, subnormal and tiny numbers among them. */
function values(seed: number, shape: readonly number[]): Float32Array {
  const random = randomSource(seed);
  const size = shape.reduce((product, length) => product * length, 1);
  const small = [0, -0, 1e-40, 1e-20, -1e-15];
  return Float32Array.from({ length: size }, () =>
    random() < 0.1 ? (small[Math.floor(random() * small.length)] ?? 0) : 4 * random() - 2,
  );
}

async function run(on: Device, { x, weight, y: shape, options }: Case): Promise<{ digest: string; kernels: string }> {
  const program = recordProgram(on, (p) => {
    const given = { x: p.input("x", x), weight: p.input("weight", weight), bias: p.input("bias", weight.slice(0, 1)) };
    const y = conv2d(given.x, given.weight, { ...options, bias: given.bias });
    const seed = p.input("seed", shape);
    const [dx = y, dWeight = y, dBias = y] = p.gradients(y, [given.x, given.weight, given.bias], seed);
    return { y, dx, dWeight, dBias };
  });
  const inputs = {
    ...{ x: values(1, x), weight: values(2, weight) },
    ...{ bias: values(3, weight.slice(0, 1)), seed: values(4, shape) },
  };
  const results = await (await program.run(inputs, ["y", "dx", "dWeight", "dBias"])).read();
  const kernels = program.print();
  program.destroy();
  const all = Float32Array.from(Object.values(results).flatMap((result) => Array.from(result)));
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return { digest: Array.from(bytes.slice(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join(""), kernels };
}

it.each(Object.entries(cases))("%s: one digest on every adapter", { timeout: 60_000 }, async (_, given) => {
  device.tuning.force("conv", "register");
  const { digest, kernels } = await run(device, given);
  expect(kernels).not.toContain("conv_subgroup");
  expect(digest).toBe(given.digest);
});

it.each(Object.entries(cases))("%s: that digest on the interpreter", { timeout: 60_000 }, async (_, given) => {
  expect((await run(interpreter, given)).digest).toBe(given.digest);
});

it.skipIf((device.subgroupSize ?? 0) < 8)("subgroups add in the order of registers", { timeout: 60_000 }, async () => {
  const given = cases["channels of four"];
  if (!given) throw new Error("there is no such case");
  device.tuning.force("conv", "subgroup");
  const { digest, kernels } = await run(device, given);
  expect(kernels).toContain("conv_subgroup");
  expect(kernels).not.toContain("conv_weight_subgroup"); // all lines in one sum
  expect(digest).toBe(given.digest);
});
