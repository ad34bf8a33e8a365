import { expect, it } from "vitest";
import * as engine from "../../../engine/index.ts";
import { recordProgram, type Tensor } from "../../../engine/index.ts";
import { randomSource } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ reproducible: true });
const [rows, columns] = [24, 40];

/** Of values and gradients of an operation for given inputs: the same on every adapter, compiler and runtime. */
interface Case {
  readonly run: (x: Tensor, other: Tensor) => Tensor;
  /** For numbers of ordinary size, and for zeros, subnormal, huge and infinite ones, NaN among them. */
  readonly digests: readonly [ordinary: string, extreme: string];
}

const cases: Readonly<Record<string, Case>> = {
  add: { run: engine.add, digests: ["1553c319f555", "9797130d8566"] },
  sub: { run: engine.sub, digests: ["95a78db862ac", "bacc415adced"] },
  mul: { run: engine.mul, digests: ["f2d2f637e00e", "7e3ba9d6dab3"] },
  div: { run: engine.div, digests: ["e467c6e27d4a", "47d38a40039b"] },
  pow: { run: (x, other) => engine.pow(engine.abs(x), other), digests: ["715a43db7de7", "eab901e30b89"] },
  exp: { run: engine.exp, digests: ["b36a81b1d576", "40d66f4899d5"] },
  log: { run: engine.log, digests: ["d31d097c7b8f", "e71e1e7f4954"] },
  tanh: { run: engine.tanh, digests: ["c127d2b77be3", "9ec61370129b"] },
  sqrt: { run: engine.sqrt, digests: ["59ea4d8708f2", "9f6441ec6c39"] },
  rsqrt: { run: engine.rsqrt, digests: ["ac5f75f3e60b", "64a6c63d67d0"] },
  gelu: { run: engine.gelu, digests: ["f8eb8906028c", "9af8846fd12e"] },
  sum: { run: (x) => engine.sum(x, { axes: [0] }), digests: ["436809526d25", "be7bc1ad3104"] },
  mean: { run: (x) => engine.mean(x, { axes: [1] }), digests: ["948cb28fa674", "0046fbada634"] },
  softmax: { run: (x) => engine.softmax(x), digests: ["0a54d8482d12", "87b35fcbcfd7"] },
  layerNorm: { run: (x) => engine.layerNorm(x), digests: ["c403e6607317", "b3345cb2f3f8"] },
  rmsNorm: {
    run: (x, other) => engine.rmsNorm(x, engine.sum(other, { axes: [0] })),
    digests: ["e8602f3356af", "4f2d6d1fcf32"],
  },
  l2Normalize: { run: (x) => engine.l2Normalize(x), digests: ["7d2b0ec148e0", "42597d81f770"] },
  matmul: { run: (x, other) => engine.matmul(x, engine.transpose(other)), digests: ["e5f39cf88302", "947e179e9005"] },
  linear: {
    run: (x, other) => engine.linear(x, other, { bias: engine.sum(other, { axes: [1] }), activation: "gelu" }),
    digests: ["330b986cf22c", "dde05cd24668"],
  },
  attention: {
    run: (x, other) =>
      engine.attention(engine.concat([x, other, x], 1), {
        heads: 5,
        segments: [{ firstRow: 0, batch: 1, tokens: rows }],
      }),
    digests: ["1875fdd36af6", "a7d5061eb7a4"],
  },
  meanSquareError: { run: (x, other) => engine.meanSquareError(x, other), digests: ["0a7641725027", "925610767712"] },
};

const extremes = [0, -0, 1e-40, -1e-38, 3e38, -3e38, 1e20, 1e-20, -1e-15, Infinity, -Infinity, NaN, 1, -2, 0.5];

function values(seed: number, isExtreme: boolean): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: rows * columns }, () => {
    const ordinary = 4 * random() - 2;
    return isExtreme && random() < 0.3 ? (extremes[Math.floor(random() * extremes.length)] ?? 0) : ordinary;
  });
}

/** NaN counts as one value: which one it is, adapters choose. */
async function digest(results: readonly ArrayLike<number>[]): Promise<string> {
  const all = Float32Array.from(results.flatMap((result) => Array.from(result)));
  const bits = new Uint32Array(all.buffer).map((word, i) => (Number.isNaN(all[i]) ? 0x7fc00000 : word));
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", bits));
  return Array.from(bytes.slice(0, 6), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function run({ run: operation }: Case, isExtreme: boolean): Promise<string> {
  const program = recordProgram(device, (p) => {
    const [x, other] = [p.input("x", [rows, columns]), p.input("other", [rows, columns])];
    const y = operation(x, other);
    const seed = device.tensor(values(3, isExtreme).slice(0, y.size), y.shape);
    const [dx] = p.gradients(y, [x], seed);
    return { y, dx: dx ?? y };
  });
  const inputs = { x: values(1, isExtreme), other: values(2, isExtreme) };
  const { y, dx } = await (await program.run(inputs, ["y", "dx"])).read();
  program.destroy();
  return digest([y, dx]);
}

it.each(Object.entries(cases))(
  "%s and its gradient have the same bytes everywhere",
  { timeout: 60_000 },
  async (_name, given) => {
    const found = [await run(given, false), await run(given, true)];
    expect(found).toEqual(given.digests);
  },
);
