import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { cast, type Device, recordProgram } from "../../../engine/index.ts";
import { attention } from "../../../engine/ops/attention.ts";
import { attentionVariants } from "../../../engine/ops/attention_kernels.ts";
import { checkGradient, checkOperation, maxError, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";
import { attentionReference } from "../../reference/attention.ts";
import { boundOf, type Case, drawCase, magnitudeOf, operandsOf, referenceOf } from "./attention_cases.ts";

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});
afterEach(() => device.tuning.force("attention", undefined));

describe.each(attentionVariants)("variant $name", (variant) => {
  const whyNot = (): string | undefined => {
    const reason = variant.unsupported(device, { shape: { headDim: 16 }, dtype: "f32" });
    return reason && `${device.info.name}: ${reason}`;
  };

  it("equals the float64 attention for odd lengths and head dimensions", async (context) => {
    const reason = whyNot();
    if (reason) context.skip(reason);
    device.tuning.force("attention", variant.name);
    await checkOperation(device, {
      cases: drawCase(131, ["normal", "zeros", "tiny", "sparse"]),
      operands: operandsOf,
      run: (operands, { heads }) => ({ y: attention(operand(operands, "qkv"), { heads }) }),
      reference: (operands, drawn) => ({ y: referenceOf(operands, drawn) }),
      bound: boundOf,
      floor: magnitudeOf,
      runs: 12,
    });
  }, 300_000);

  it("has the gradient of central differences", async (context) => {
    const reason = whyNot();
    if (reason) context.skip(reason);
    device.tuning.force("attention", variant.name);
    await checkGradient(device, {
      cases: drawCase(37, ["normal", "sparse"], [5, 16, 64]),
      operands: operandsOf,
      run: (operands, { heads }) => attention(operand(operands, "qkv"), { heads }),
      reference: referenceOf,
      wrt: ["qkv"],
      runs: 8,
    });
  }, 300_000);

  it("gives the same values for segments as for each of them alone, and mixes no images", async (context) => {
    const reason = whyNot();
    if (reason) context.skip(reason);
    device.tuning.force("attention", variant.name);
    const [heads, headDim] = [2, 16];
    const parts = [
      { batch: 2, tokens: 37 },
      { batch: 3, tokens: 10 },
      { batch: 1, tokens: 1 },
      { batch: 1, tokens: 65 },
      { batch: 2, tokens: 3 }, // the fifth: a second launch
    ];
    let rows = 0;
    const segments = parts.map(({ batch, tokens }) => {
      rows += batch * tokens;
      return { firstRow: rows - batch * tokens, batch, tokens };
    });
    const data = valuesOf("normal", 7, rows * 3 * heads * headDim);
    const weights = valuesOf("normal", 8, rows * heads * headDim);
    const joined = await outputsOf(data, [rows, 3 * heads * headDim], weights, { heads, segments });
    for (const { firstRow, batch, tokens } of segments) {
      const own = await outputsOf(
        data.slice(firstRow * 96, (firstRow + batch * tokens) * 96),
        [batch, tokens, 96],
        weights.slice(firstRow * 32, (firstRow + batch * tokens) * 32),
        { heads },
      );
      expect(joined.y.slice(firstRow * 32, (firstRow + batch * tokens) * 32)).toEqual(own.y);
      expect(joined.dqkv.slice(firstRow * 96, (firstRow + batch * tokens) * 96)).toEqual(own.dqkv);
    }
  });

  it("stays finite and within the values for scores around a billion", async (context) => {
    const reason = whyNot();
    if (reason) context.skip(reason);
    device.tuning.force("attention", variant.name);
    const [tokens, headDim] = [19, 16];
    const data = valuesOf("large", 3, tokens * 3 * headDim);
    const { y, dqkv } = await outputsOf(data, [1, tokens, 3 * headDim], valuesOf("normal", 4, tokens * headDim), {
      heads: 1,
    });
    for (let d = 0; d < headDim; d++) {
      const column = Array.from({ length: tokens }, (_, j) => data[j * 3 * headDim + 2 * headDim + d] ?? 0);
      const slack = 64 * roundOff * Math.max(...column.map(Math.abs)); // sums of weights and values, one division
      for (let i = 0; i < tokens; i++) {
        expect(y[i * headDim + d]).toBeGreaterThanOrEqual(Math.min(...column) - slack);
        expect(y[i * headDim + d]).toBeLessThanOrEqual(Math.max(...column) + slack);
      }
    }
    expect(dqkv.every(Number.isFinite)).toBe(true);
  });

  it("gives identical bytes in two runs", async (context) => {
    const reason = whyNot();
    if (reason) context.skip(reason);
    device.tuning.force("attention", variant.name);
    const data = valuesOf("normal", 5, 2 * 67 * 3 * 32);
    const weights = valuesOf("normal", 6, 2 * 67 * 32);
    const first = await outputsOf(data, [2, 67, 96], weights, { heads: 2 });
    expect(await outputsOf(data, [2, 67, 96], weights, { heads: 2 })).toEqual(first);
  });
});

it("takes images of 1025 tokens", async () => {
  const drawn: Case = { batch: 1, tokens: 1025, heads: 1, headDim: 16, kind: "normal", seed: 11 };
  const { qkv } = operandsOf(drawn);
  const y = await attention(device.tensor(qkv.data, qkv.shape), { heads: 1 }).read();
  expect(maxError(y, referenceOf({ qkv: qkv.data }, drawn))).toBeLessThan(boundOf(drawn));
});

it("multiplies the scores by a scale of the caller", async () => {
  const qkv = valuesOf("normal", 12, 9 * 24);
  const y = await attention(device.tensor(qkv, [1, 9, 24]), { heads: 2, scale: 0.1 }).read();
  const expected = attentionReference(qkv, { heads: 2, headDim: 4, scale: 0.1, images: [9] });
  expect(maxError(y, expected)).toBeLessThan(100 * roundOff); // as boundOf, for short sums and small scores
});

it("needs one launch forward and two backward for up to four segments", () => {
  const segments = [
    { firstRow: 0, batch: 2, tokens: 5 },
    { firstRow: 10, batch: 3, tokens: 2 },
  ];
  const recorded = recordProgram(device, (program) => {
    const qkv = program.input("qkv", [16, 24]);
    const y = attention(qkv, { heads: 2, segments });
    const [dqkv = qkv] = program.gradients(y, [qkv], program.input("dy", y.shape));
    return { y, dqkv };
  });
  expect(recorded.stats.dispatches).toBe(3);
});

it("keeps no log-sums where no gradient is asked for", () => {
  const build = (inference: boolean) =>
    recordProgram(device, (program) => ({ y: attention(program.input("qkv", [4, 64, 96]), { heads: 8 }) }), {
      inference,
    }).stats.plannedPeakBytes;
  expect(build(false) - build(true)).toBeGreaterThanOrEqual(4 * 64 * 8 * 4 - 256); // one word, in a block of 256 bytes
});

it("reads and writes f16 with f32 sums", async (context) => {
  if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
  // q = k = 0 makes every weight 1/4; sums of four small whole numbers and their quarters are exact in f16.
  const values = [4, 8, 12, 16];
  const bits: Record<number, number> = { 4: 0x4400, 8: 0x4800, 12: 0x4a00, 16: 0x4c00 };
  const qkv = new Uint16Array(values.flatMap((value) => [0, 0, 0, 0, bits[value] ?? 0, bits[value] ?? 0]));
  for (const { name, unsupported } of attentionVariants) {
    if (unsupported(device, { shape: { headDim: 2 }, dtype: "f16" })) continue;
    device.tuning.force("attention", name);
    const y = await attention(device.tensor(qkv, [1, 4, 6], "f16"), { heads: 1 }).read();
    expect([...y]).toEqual(Array(8).fill(0x4900)); // 10
  }
});

describe.each([80, 128])("of dimension %i", (headDim) => {
  it("f16 queries stay in workgroup memory, with f32 sums", async (context) => {
    if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
    device.tuning.force("attention", "queries");
    const [tokens, heads] = [70, 2]; // two tiles of queries, three of keys
    const exact = valuesOf("normal", 13, tokens * 3 * heads * headDim).map((value) => Math.round(64 * value) / 64); // in f16
    const recorded = recordProgram(device, (program) => {
      const y = attention(cast(program.input("qkv", [1, tokens, 3 * heads * headDim]), "f16"), { heads });
      return { y: cast(y, "f32") };
    });
    const { y } = await (await recorded.run({ qkv: exact }, ["y"])).read();
    const scale = headDim ** -0.5;
    const expected = attentionReference(exact, { heads, headDim, scale, images: [tokens] });
    const drawn: Case = { batch: 1, tokens, heads, headDim, kind: "normal", seed: 13 };
    expect(maxError(y, expected)).toBeLessThan(boundOf(drawn) + 2 ** -11); // sums as in f32, and a result rounded to f16 once
    expect(recorded.print()).toContain("attention_queries");
  }, 150_000);

  it("gradients with resident rows in f16 are those of f32", async (context) => {
    if (!device.features.has("shader-f16")) context.skip(`${device.info.name}: no shader-f16`);
    const [tokens, heads] = [70, 2];
    const whole = (seed: number, length: number): Float32Array =>
      valuesOf("normal", seed, length).map((value) => Math.round(64 * value) / 64); // in f16
    const qkv = whole(14, tokens * 3 * heads * headDim);
    const gradientOf = async (variant: string | undefined, dtype: "f16" | "f32", dy: Float32Array) => {
      device.tuning.force("attention", variant);
      const recorded = recordProgram(device, (program) => {
        const x = cast(program.input("qkv", [1, tokens, 3 * heads * headDim]), dtype);
        const y = attention(x, { heads });
        const [dqkv = x] = program.gradients(y, [x], cast(program.input("dy", y.shape), dtype));
        return { y: cast(y, "f32"), dqkv: cast(dqkv, "f32") };
      });
      return { ...(await (await recorded.run({ qkv, dy }, ["y", "dqkv"])).read()), listed: recorded.print() };
    };
    const most = (values: ArrayLike<number>): number =>
      Array.from(values, Math.abs).reduce((a, b) => Math.max(a, b), 0);
    const dy = whole(15, tokens * heads * headDim);
    const exact = await gradientOf(undefined, "f32", dy);
    const half = await gradientOf("queries", "f16", dy);
    // y in f16 moves the dy.y of a query by 2^-11 of its magnitudes, and each dS = p (dy.v - dy.y) by p times that. dq adds such
    // terms over the keys, where p adds up to 1, dk over the queries, where it adds up to what dv is for a dy of ones. Then one rounding.
    const columnSums = most((await gradientOf(undefined, "f32", new Float32Array(dy.length).fill(1))).dqkv);
    const deltas = Array.from({ length: tokens * heads }, (_, row) =>
      dy
        .slice(row * headDim, (row + 1) * headDim)
        .reduce((sum, g, d) => sum + Math.abs(g * (exact.y[row * headDim + d] ?? 0)), 0),
    );
    const slack = headDim ** -0.5 * most(deltas) * most(qkv) * columnSums + most(exact.dqkv);
    expect(maxError(half.dqkv, Float64Array.from(exact.dqkv)) * most(exact.dqkv)).toBeLessThan(2 ** -11 * slack);
    expect(half.listed).toMatch(/attention_grad_query_resident[\s\S]*attention_grad_key_resident/);
  }, 150_000);
});

it("names the head counts that fit when the width does not divide", () => {
  const qkv = device.tensor(new Float32Array(3 * 12), [1, 1, 36]);
  expect(() => attention(qkv, { heads: 5 })).toThrow(
    "attention: width 12 is not divisible by 5 heads; choose heads from 1, 2, 3, 4, 6, 12 or change the width",
  );
});

it("refuses head dimensions over 128", () => {
  const qkv = device.tensor(new Float32Array(3 * 258), [1, 1, 774]);
  expect(() => attention(qkv, { heads: 2 })).toThrow(/head dimension of 129, over 128; use more heads/);
});

it("refuses segments with gaps and rows without a segment", () => {
  const qkv = device.tensor(new Float32Array(7 * 6), [7, 6]);
  const gap = [
    { firstRow: 0, batch: 1, tokens: 3 },
    { firstRow: 4, batch: 1, tokens: 3 },
  ];
  expect(() => attention(qkv, { heads: 1, segments: gap })).toThrow(
    /starts at row 4, expected whole images from row 3/,
  );
  expect(() => attention(qkv, { heads: 1, segments: gap.slice(0, 1) })).toThrow(/cover 3 rows, but qkv has 7/);
});

it("refuses a matrix without segments", () => {
  expect(() => attention(device.tensor(new Float32Array(6), [1, 6]), { heads: 1 })).toThrow(
    /qkv has shape \[1, 6\], expected \[batch, tokens, 3·width\]/,
  );
});

async function outputsOf(
  data: Float32Array,
  shape: readonly number[],
  weights: Float32Array,
  options: Parameters<typeof attention>[1],
) {
  const recorded = recordProgram(device, (program) => {
    const qkv = program.input("qkv", shape);
    const y = attention(qkv, options);
    const [dqkv = qkv] = program.gradients(y, [qkv], program.input("dy", y.shape));
    return { y, dqkv };
  });
  const values = await (await recorded.run({ qkv: data, dy: weights }, ["y", "dqkv"])).read();
  recorded.destroy();
  return { y: [...values.y], dqkv: [...values.dqkv] };
}
