import fc from "fast-check";
import { expect, it } from "vitest";
import { attention, concat, crossAttention, ShapeError } from "../../../engine/index.ts";
import { checkGradient, checkOperation, expectClose, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const cases = fc
  .record({
    batch: fc.constantFrom(1, 2),
    tokens: fc.constantFrom(1, 3, 9),
    sources: fc.constantFrom(1, 4, 9),
    heads: fc.constantFrom(1, 2),
    headDim: fc.constantFrom(1, 4, 5),
    causal: fc.boolean(),
    masked: fc.boolean(),
    seed: fc.integer(),
  })
  .map((one) => ({ ...one, sources: one.causal ? one.tokens : one.sources }));
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;
/** The first key is seen always, so that no query sees none. */
const isSeen = ({ causal, masked, seed }: Case, sample: number, query: number, key: number) =>
  (!causal || key <= query) && (!masked || key === 0 || ((seed >>> 3) + sample + key) % 3 !== 0);

const operands = ({ batch, tokens, sources, heads, headDim, seed }: Case) => {
  const given = (length: number, width: number, salt: number) => ({
    data: valuesOf("normal", seed + salt, batch * length * width),
    shape: [batch, length, width],
  });
  return {
    q: given(tokens, heads * headDim, 1),
    k: given(sources, heads * headDim, 2),
    v: given(sources, heads * 3, 3),
  };
};

function reference(given: Readonly<Record<string, Float64Array>>, one: Case): Float64Array {
  const { q = new Float64Array(), k = new Float64Array(), v = new Float64Array() } = given;
  const { batch, tokens, sources, heads, headDim } = one;
  const y = new Float64Array(batch * tokens * heads * 3);
  for (let at = 0; at < batch * tokens * heads; at++) {
    const head = at % heads;
    const query = Math.floor(at / heads) % tokens;
    const sample = Math.floor(at / heads / tokens);
    const weights = Array.from({ length: sources }, (_, key) => {
      if (!isSeen(one, sample, query, key)) return 0;
      let dot = 0;
      for (let d = 0; d < headDim; d++) {
        const width = heads * headDim;
        const left = q[(sample * tokens + query) * width + head * headDim + d] ?? 0;
        dot += left * (k[(sample * sources + key) * width + head * headDim + d] ?? 0);
      }
      return Math.exp(dot / Math.sqrt(headDim));
    });
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let d = 0; d < 3; d++) {
      const value = (key: number) => v[(sample * sources + key) * heads * 3 + head * 3 + d] ?? 0;
      y[((sample * tokens + query) * heads + head) * 3 + d] = weights.reduce(
        (sum, weight, key) => sum + (weight / total) * value(key),
        0,
      );
    }
  }
  return y;
}

const run = (given: Parameters<typeof operand>[0], one: Case) => {
  const { batch, sources, heads, causal, masked } = one;
  const mask = Uint32Array.from({ length: batch * sources }, (_, i) =>
    Number(isSeen({ ...one, causal: false }, Math.floor(i / sources), sources, i % sources)),
  );
  return crossAttention(operand(given, "q"), operand(given, "k"), operand(given, "v"), {
    heads,
    causal,
    keyMask: masked ? device.tensor(mask, [batch, sources], "u32") : undefined,
  });
};

it("agrees with float64, with and without masks", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (given, one) => ({ y: run(given, one) }),
    reference: (given, one) => ({ y: reference(given, one) }),
    bound: () => 400 * roundOff, // scores of up to 20 lose 2^-20 each, which the exponential hands on; sums of 9
    floor: 1,
    runs: 20,
  });
});

it("has the gradients of finite differences", async () => {
  await checkGradient(device, { cases, operands, run, reference, wrt: ["q", "k", "v"], runs: 8 });
});

it("is attention where nothing is masked", async () => {
  const parts = [1, 2, 3].map((seed) => device.tensor(valuesOf("normal", seed, 48), [1, 6, 8]));
  const [q, k, v] = parts;
  if (!q || !k || !v) throw new Error("three parts");
  const expected = await attention(concat(parts, 2), { heads: 2 }).read();
  expectClose("y", await crossAttention(q, k, v, { heads: 2 }).read(), expected, 100 * roundOff, 1);
});

it("a query that sees no key gives NaN", async () => {
  const x = device.tensor([1, 2], [1, 2, 1]);
  const keyMask = device.tensor(Uint32Array.of(0, 0), [1, 2], "u32");
  expect([...(await crossAttention(x, x, x, { heads: 1, keyMask }).read())]).toEqual([Number.NaN, Number.NaN]);
});

it("names lengths without an order", () => {
  const [q, k] = [device.zeros([1, 2, 4]), device.zeros([1, 3, 4])];
  expect(() => crossAttention(q, k, k, { heads: 1, causal: true })).toThrow(
    new ShapeError(
      "crossAttention: causal order needs as many queries as keys, got [1, 2, 4] and [1, 3, 4]; give a keyMask or equal lengths",
    ),
  );
});
