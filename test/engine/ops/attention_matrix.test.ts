import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { f16ToF32, f32ToF16 } from "../../../engine/core/half_precision.ts";
import { cast, type Device, recordProgram } from "../../../engine/index.ts";
import { attention } from "../../../engine/ops/attention.ts";
import { attentionForms, attentionTilingOn } from "../../../engine/ops/attention_matrix.ts";
import { checkOperation, maxError, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { attentionReference } from "../../reference/attention.ts";
import { boundOf, type Case, drawCase, operandsOf, referenceOf } from "./attention_cases.ts";

/** Each head dimension is a kernel of its own. */
const compileLimitMs = 300_000;

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("attention", undefined));

/** Normal draws as f16 holds them. */
function halves(drawn: Case) {
  const { data, shape } = operandsOf(drawn).qkv;
  return { qkv: { data: f16ToF32(f32ToF16(data)), shape } };
}

/**
 * What errors are measured against: the largest result that the magnitudes of v give, as each error is in proportion to a weighted |v|.
 */
function magnitudeOf(drawn: Case): number {
  const { data } = halves(drawn).qkv;
  const width = drawn.heads * drawn.headDim;
  const qkv = data.map((value, at) => (at % (3 * width) < 2 * width ? value : Math.abs(value)));
  return referenceOf({ qkv }, drawn).reduce((most, value) => Math.max(most, value), 1e-30);
}

/**
 * Beside what f32 sums err by: a weight is rounded to f16, and so is the result (2^-11 of each). Weights under 2^-24 of the largest are
 * no normal numbers of f16 and may be lost, at most one of each token.
 */
function halfBoundOf(drawn: Case): number {
  return boundOf(drawn) + 2 * 2 ** -11 + drawn.tokens * 2 ** -24;
}

describe.each(attentionForms)("$name", (form) => {
  const lack = (headDim: number): string | undefined => {
    const tiling = attentionTilingOn(form, device, headDim, "f16");
    return typeof tiling === "string" ? `${device.info.name}: ${tiling}` : undefined;
  };

  // Many matrices take long to compile on a CPU.
  const dims = form.name === "matrix_4x1" ? [4, 8, 20, 64, 80] : [8, 20];

  it(
    "equals the float64 attention of f16 rows for odd lengths and head dimensions",
    async (context) => {
      const reason = lack(16);
      if (reason) context.skip(reason);
      device.tuning.force("attention", form.name);
      await checkOperation(device, {
        cases: drawCase(131, ["normal", "zeros", "sparse"], dims).filter(({ headDim }) => !lack(headDim)),
        operands: halves,
        run: (operands, { heads }) => ({
          y: cast(attention(cast(operand(operands, "qkv"), "f16"), { heads }), "f32"),
        }),
        reference: (operands, drawn) => ({ y: referenceOf(operands, drawn) }),
        bound: halfBoundOf,
        floor: magnitudeOf,
        runs: 2 * dims.length,
      });
    },
    compileLimitMs,
  );
});

describe("matrix_4x1", () => {
  const skipWithout = (context: { skip(note: string): void }): void => {
    const found = attentionTilingOn({ subgroups: 4, matrices: 1 }, device, 16, "f16");
    if (typeof found === "string") context.skip(`${device.info.name}: ${found}`);
    device.tuning.force("attention", "matrix_4x1");
  };

  /** Values and gradient of f16 rows, as f32. */
  async function outputsOf(
    qkv: Float32Array,
    width: number,
    options: Parameters<typeof attention>[1],
    dy: Float32Array,
  ) {
    const rows = qkv.length / (3 * width);
    const shape = options.segments ? [rows, 3 * width] : [1, rows, 3 * width];
    const recorded = recordProgram(device, (program) => {
      const x = cast(program.input("qkv", shape), "f16");
      const y = attention(x, options);
      const [dqkv = x] = program.gradients(y, [x], cast(program.input("dy", y.shape), "f16"));
      return { y: cast(y, "f32"), dqkv: cast(dqkv, "f32") };
    });
    const values = await (await recorded.run({ qkv, dy }, ["y", "dqkv"])).read();
    const listed = recorded.print();
    recorded.destroy();
    return { y: Float64Array.from(values.y), dqkv: Float64Array.from(values.dqkv), listed };
  }

  /** Normal draws in steps of 1/64, which f16 holds. */
  const drawn = (seed: number, length: number): Float32Array =>
    valuesOf("normal", seed, length).map((value) => Math.round(64 * value) / 64);

  it(
    "moves the base of a row again and again where scores grow along the keys",
    async (context) => {
      skipWithout(context);
      const [tokens, headDim] = [100, 16];
      const qkv = drawn(1, tokens * 3 * headDim);
      // Scores of the first query rise by 1 with each key, up to 99; those of the others rise and fall.
      for (let j = 0; j < tokens; j++) {
        qkv[headDim + j * 3 * headDim] = j;
        if (j > 0) qkv[j * 3 * headDim] = Math.round(16 * Math.sin(j)) / 4;
      }
      qkv[0] = 4;
      const { y, listed } = await outputsOf(qkv, headDim, { heads: 1, scale: 0.25 }, drawn(2, tokens * headDim));
      expect(listed).toContain("attention_matrix");
      const expected = attentionReference(qkv, { heads: 1, headDim, scale: 0.25, images: [tokens] });
      // Scores up to 100 err by 2^-24 of that and of their sums, weights by as much; then weights and result in f16.
      expect(maxError(y, expected)).toBeLessThan(2 * 128 * 18 * 2 ** -24 + 2 * 2 ** -11);
    },
    compileLimitMs,
  );

  it(
    "gives the same bits for segments as for each of them alone, values and gradients",
    async (context) => {
      skipWithout(context);
      const [heads, headDim] = [2, 16];
      const width = heads * headDim;
      const parts = [37, 10, 1, 65, 3]; // the fifth: a second launch
      const rows = parts.reduce((sum, tokens) => sum + tokens, 0);
      const [qkv, dy] = [drawn(3, rows * 3 * width), drawn(4, rows * width)];
      const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, tokens) => sum + tokens, 0));
      const segments = parts.map((tokens, i) => ({ firstRow: starts[i] ?? 0, batch: 1, tokens }));
      const joined = await outputsOf(qkv, width, { heads, segments }, dy);
      for (const { firstRow, tokens } of segments) {
        const [start, end] = [firstRow * width, (firstRow + tokens) * width];
        const own = await outputsOf(qkv.slice(3 * start, 3 * end), width, { heads }, dy.slice(start, end));
        expect(joined.y.slice(start, end)).toEqual(own.y);
        expect(joined.dqkv.slice(3 * start, 3 * end)).toEqual(own.dqkv);
      }
    },
    compileLimitMs,
  );

  it(
    "keeps log-sums from which the gradient follows",
    async (context) => {
      skipWithout(context);
      const [tokens, headDim] = [70, 64];
      const [qkv, dy] = [drawn(5, tokens * 3 * headDim), drawn(6, tokens * headDim)];
      const matrices = await outputsOf(qkv, headDim, { heads: 1 }, dy);
      device.tuning.force("attention", "shared");
      const tiles = await outputsOf(qkv, headDim, { heads: 1 }, dy);
      // Both keep y in f16, where that of matrices errs by twice as much: dy.y moves by up to 3 · 2^-11 of its magnitudes, and dS = p (dy.v -
      // dy.y) with it; p moves by the error of the scores. Sums over keys or queries have weights that add up to at most 4 here.
      const most = (values: Float64Array): number =>
        values.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      const deltas = Array.from({ length: tokens }, (_, i) =>
        Array.from({ length: headDim }, (_, d) =>
          Math.abs((dy[i * headDim + d] ?? 0) * (tiles.y[i * headDim + d] ?? 0)),
        ).reduce((a, b) => a + b, 0),
      );
      const slack = headDim ** -0.5 * Math.max(...deltas) * Math.max(...qkv.map(Math.abs)) * 4 + 2 * most(tiles.dqkv);
      expect(maxError(matrices.dqkv, tiles.dqkv) * most(tiles.dqkv)).toBeLessThan(3 * 2 ** -11 * slack);
    },
    compileLimitMs,
  );
});
