import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { recordProgram } from "../../../../engine/index.ts";
import { checkOperation, oddLength, roundOff, valueKind, valuesOf } from "../../../../engine/testing/index.ts";
import { VisionTransformer, vitConfig } from "../../../../models/index.ts";
import { goldenBounds } from "../../../../refiner/conformance/bounds.ts";
import { imagesInMemory, type RgbImage } from "../../../../refiner/data/index.ts";
import {
  type AttentionMap,
  attentionMaps,
  enlargedMap,
  FeatureExtractor,
  greyLevels,
  NonFiniteFeaturesError,
  principalMaps,
} from "../../../../refiner/evaluation/index.ts";
import { classAttention } from "../../../../refiner/evaluation/maps/class_attention.ts";
import { testDevice } from "../../../device.ts";
import { randomEncoder } from "../../../models/random_encoder.ts";
import { operand } from "../../../operand.ts";
import { runPython } from "../../../python.ts";
import { classAttentionReference } from "../../../reference/class_attention.ts";

const device = await testDevice();
const script = fileURLToPath(new URL("golden_attention.py", import.meta.url));
const golden = JSON.parse(await readFile(new URL("golden_attention.json", import.meta.url), "utf8"));
const { cases, ...sizes } = golden;

/** The numbers of golden_attention.py. */
function numbersOf(): (length: number, scale?: number, shift?: number) => Float64Array {
  let state = 1;
  return (length, scale = 1, shift = 0) =>
    Float64Array.from({ length }, () => {
      state = (Math.imul(1664525, state) + 1013904223) >>> 0;
      return shift + scale * ((state >>> 8) / 2 ** 23 - 1);
    });
}

function goldenModel(kind: "prenorm" | "postnorm") {
  const model = new VisionTransformer(device, vitConfig({ ...sizes, kind, classTokens: 1 }));
  const take = numbersOf();
  for (const [name, tensor] of model.parameters.tensors) {
    const isNorm = /norm\d?\.weight$/.test(name);
    device.write(tensor, Float32Array.from(take(tensor.size, 0.5, isNorm ? 1 : 0)));
  }
  device.write(model.positions, Float32Array.from(take(model.positions.size, 0.5)));
  const { widthPixels: width, heightPixels: height } = model.config;
  const data = Uint8Array.from(take(3 * width * height, 128, 128), Math.floor);
  return { model, image: { width, height, channels: 3, data } satisfies RgbImage };
}

async function mapsOf(...given: Parameters<typeof attentionMaps>): Promise<AttentionMap[]> {
  const maps: AttentionMap[] = [];
  for await (const map of attentionMaps(...given)) maps.push(map);
  return maps;
}

const small = vitConfig({ patchPixels: 4, width: 16, blocks: 3, heads: 2, heightPixels: 8, widthPixels: 16 });

function noise(seed: number, width = 16, height = 8): RgbImage {
  return {
    width,
    height,
    channels: 3,
    data: Uint8Array.from(valuesOf("normal", seed, 3 * width * height), (v) => 40 * v + 128),
  };
}

describe("weights of the class token", () => {
  const drawn = fc.record({
    batch: oddLength(3),
    patches: oddLength(67),
    heads: oddLength(5),
    headDim: oddLength(33),
    classTokens: fc.integer({ min: 1, max: 3 }),
    kind: valueKind.filter((kind) => kind !== "large"), // products of large values leave f32
    seed: fc.integer(),
  });

  it("agree with float64 for odd shapes, zeros and tiny values", { timeout: 120_000 }, async () => {
    await checkOperation(device, {
      cases: drawn,
      operands: ({ batch, patches, heads, headDim, classTokens, kind, seed }) => {
        const shape = [batch * (patches + classTokens), 3 * heads * headDim];
        return { qkv: { data: valuesOf(kind, seed, (shape[0] ?? 0) * (shape[1] ?? 0)), shape } };
      },
      run: (given, { batch, patches, heads, headDim, classTokens }) => {
        const segment = { batch, tokens: patches + classTokens };
        const { weights } = classAttention(operand(given, "qkv"), segment, {
          width: heads * headDim,
          heads,
          classTokens,
        });
        return { weights };
      },
      reference: ({ qkv = new Float64Array() }, { batch, patches, heads, headDim, classTokens }) => {
        const one = { tokens: patches + classTokens, heads, headDim, classTokens };
        const length = one.tokens * 3 * heads * headDim;
        const images = Array.from({ length: batch }, (_, b) =>
          classAttentionReference(qkv.subarray(b * length, (b + 1) * length), one),
        );
        return { weights: Float64Array.from(images.flatMap((weights) => [...weights])) };
      },
      // A score of normal values errs by headDim units of a product (to 16) each, exp by 3 + 2 |score| units, the sum by tokens / 4.
      bound: ({ headDim, patches }) => (60 + 8 * headDim + patches / 2) * roundOff,
    });
  });

  it.each(["prenorm", "postnorm"] as const)("are those of PyTorch in every block, %s", async (kind) => {
    const { model, image } = goldenModel(kind);
    for (let block = 0; block < sizes.blocks; block++) {
      const [map] = await mapsOf(model, imagesInMemory([image]), { block });
      const expected: number[][] = cases[kind][block];
      expect([map?.heads, map?.rows, map?.columns]).toEqual([2, 2, 3]);
      const worst = expected.flat().map((value, i) => Math.abs(value - (map?.weights[i] ?? Number.NaN)));
      expect(Math.max(...worst)).toBeLessThan(goldenBounds.forward);
    }
    model.destroy();
  });

  it("are what the committed script writes", { timeout: 240_000 }, (context) => {
    const code = `import subprocess, tempfile\nwith tempfile.NamedTemporaryFile() as file:\n subprocess.run([sys.executable, given["script"], file.name], check=True)\n print(open(file.name).read())`;
    const written: unknown = runPython(context, { torch: "python3-torch" }, code, { script });
    // Processors differ in the last bits of float64 sums.
    const rounded = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value), (_, x) => (typeof x === "number" ? Number(x.toPrecision(12)) : x));
    expect(rounded(written)).toEqual(rounded(golden));
  });

  it("give the attention module's own output, times its values", async () => {
    const model = randomEncoder(device, small);
    const { data } = noise(3);
    const program = recordProgram(
      device,
      (p) => {
        const seen: Record<string, ReturnType<typeof p.input>> = {};
        const observe = (name: string, value: ReturnType<typeof p.input>): void => {
          seen[name] = value;
        };
        const { segments } = model.forward(p.input("images", [1, 3, 8, 16]), { observe });
        const { "block.1.qkv": qkv, "block.1.attn": attn } = seen;
        const [segment] = segments;
        if (!qkv || !attn || !segment) throw new Error("nothing was observed");
        return { qkv, attn, ...classAttention(qkv, segment, { ...small, classTokens: 0 }) };
      },
      { inference: true },
    );
    const images = Float32Array.from(data, (level) => level / 128 - 1);
    const read = await (await program.run({ images }, ["qkv", "attn", "weights"])).read();
    const [weight, bias] = [
      await model.parameters.get("blocks.1.attn.proj.weight").read(),
      await model.parameters.get("blocks.1.attn.proj.bias").read(),
    ];
    const value = (token: number, column: number): number => read.qkv[token * 48 + 32 + column] ?? Number.NaN;
    const mixed = Array.from({ length: 16 }, (_, column) => {
      const head = Math.floor(column / 8);
      return Array.from(
        { length: 9 },
        (_, token) => (read.weights[head * 9 + token] ?? 0) * value(token, column),
      ).reduce((sum, one) => sum + one, 0);
    });
    for (let row = 0; row < 16; row++) {
      const expected = mixed.reduce((sum, one, column) => sum + one * (weight[row * 16 + column] ?? 0), bias[row] ?? 0);
      expect(Math.abs((read.attn[row] ?? 0) - expected)).toBeLessThan(1e-5);
    }
    program.destroy();
    model.destroy();
  });
});

describe("attention maps", () => {
  it("are the same to the bit whichever other images are there, and take grey ones", async () => {
    const model = randomEncoder(device, small);
    const images = [noise(1), noise(2, 61, 40), noise(3, 300, 20)];
    const together = await mapsOf(model, imagesInMemory(images));
    expect(together.map(({ index }) => index)).toEqual([0, 1, 2]);
    for (const [i, image] of images.entries()) {
      const [alone] = await mapsOf(model, imagesInMemory([image]));
      expect(alone?.weights).toEqual(together[i]?.weights);
    }
    const grey = { width: 16, height: 8, channels: 1, data: new Uint8Array(128).fill(9) } as const;
    const [map] = await mapsOf(model, imagesInMemory([grey]), { block: 0 });
    expect(map?.mean).toHaveLength(8);
    // The mean is that of the heads, and weights with that of the class token make 1.
    for (const { weights, mean } of together) {
      const sums = [0, 1].map((head) => weights.subarray(8 * head, 8 * head + 8).reduce((sum, one) => sum + one, 0));
      for (const sum of sums) expect(sum > 0 && sum < 1).toBe(true);
      const expected = weights.subarray(0, 8).map((value, i) => (value + (weights[8 + i] ?? 0)) / 2);
      mean.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] ?? Number.NaN, 7);
      });
    }
    model.destroy();
  });

  it("name the remedy where there is no class token, and the block that does not exist", async () => {
    const bare = randomEncoder(device, vitConfig({ ...small, classTokens: 0 }));
    await expect(mapsOf(bare, imagesInMemory([noise(1)]))).rejects.toThrow(/no class token.*principalMaps/);
    expect(await principalMaps(bare, imagesInMemory([noise(1)]))).toHaveLength(1);
    bare.destroy();
    const model = randomEncoder(device, small);
    await expect(mapsOf(model, imagesInMemory([noise(1)]), { block: 3 })).rejects.toThrow(/block 3 does not exist/);
    model.destroy();
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuse weights of %f, with the image's name", async (value) => {
    const model = randomEncoder(device, small);
    device.write(model.parameters.get("blocks.2.norm1.bias"), new Float32Array(16).fill(value));
    await expect(mapsOf(model, imagesInMemory([noise(1)]))).rejects.toThrow(NonFiniteFeaturesError);
    await expect(principalMaps(model, imagesInMemory([noise(1)]))).rejects.toThrow(NonFiniteFeaturesError);
    expect(await mapsOf(model, imagesInMemory([noise(1)]), { block: 1 })).toHaveLength(1);
    model.destroy();
  });

  it("end when the signal says so", async () => {
    const model = randomEncoder(device, small);
    const controller = new AbortController();
    const maps = attentionMaps(model, imagesInMemory([noise(1), noise(2)]), { signal: controller.signal });
    expect((await maps.next()).done).toBe(false);
    controller.abort(new Error("enough"));
    await expect(maps.next()).rejects.toThrow("enough");
    model.destroy();
  });
});

describe("principal maps", () => {
  it("are the leading components of all patches, with signs that do not depend on chance", async () => {
    const model = randomEncoder(device, small);
    const source = imagesInMemory([noise(4), noise(5), noise(6)]);
    const maps = await principalMaps(model, source, { block: 1 });
    expect(maps.map(({ width, height, channels }) => [width, height, channels])).toEqual(Array(3).fill([4, 2, 3]));
    expect(await principalMaps(model, source, { block: 1 })).toEqual(maps);
    const extractor = new FeatureExtractor(model, { blocks: [1], pooling: "patches" });
    const [rows] = await (await extractor.submit([noise(4), noise(5), noise(6)]))();
    extractor.destroy();
    // By power iteration in float64 on the covariance, a check that shares nothing with what is tested.
    const first = powerIteration(rows ?? new Float32Array(), 16);
    const scores = Array.from({ length: 24 }, (_, patch) =>
      first.reduce((sum, weight, c) => sum + weight * (rows?.[16 * patch + c] ?? 0), 0),
    );
    const reds = maps.flatMap(({ data }) => Array.from({ length: 8 }, (_, i) => data[3 * i] ?? 0));
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    scores.forEach((score, i) => {
      expect(Math.abs((reds[i] ?? 0) - (255 * (score - low)) / (high - low))).toBeLessThanOrEqual(1);
    });
    model.destroy();
  });
});

/** The leading direction of centred rows, its largest coordinate positive. */
function powerIteration(data: Float32Array, columns: number): Float64Array {
  const rows = data.length / columns;
  const mean = Float64Array.from({ length: columns }, (_, c) =>
    Array.from({ length: rows }, (_, r) => data[r * columns + c] ?? 0).reduce((sum, one) => sum + one / rows, 0),
  );
  const centred = Float64Array.from(data, (value, i) => value - (mean[i % columns] ?? 0));
  let direction = Float64Array.from({ length: columns }, (_, c) => 1 + c / 7);
  for (let step = 0; step < 20_000; step++) {
    const next = new Float64Array(columns);
    for (let r = 0; r < rows; r++) {
      const row = centred.subarray(r * columns, (r + 1) * columns);
      const score = row.reduce((sum, value, c) => sum + value * (direction[c] ?? 0), 0);
      row.forEach((value, c) => {
        next[c] = (next[c] ?? 0) + score * value;
      });
    }
    const norm = Math.hypot(...next);
    direction = next.map((value) => value / norm);
  }
  const peak = direction.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
  return peak < 0 ? direction.map((value) => -value) : direction;
}

describe("maps as pictures", () => {
  it("give every pixel the value of the patch under its centre", () => {
    const grid = { rows: 2, columns: 3 };
    const levels = greyLevels([0, 1, 2, 3, 4, 4], grid, { width: 7, height: 4 }, 255);
    expect([...levels.subarray(0, 7)]).toEqual([0, 0, 64, 64, 64, 128, 128]);
    expect([...levels.subarray(21)]).toEqual([191, 191, 255, 255, 255, 255, 255]);
    const colours = Uint8Array.from({ length: 18 }, (_, i) => i);
    const { data } = enlargedMap({ width: 3, height: 2, channels: 3, data: colours }, { width: 6, height: 2 });
    expect([...data.subarray(0, 9)]).toEqual([0, 1, 2, 0, 1, 2, 3, 4, 5]);
    expect([...greyLevels([0, 0], { rows: 1, columns: 2 }, { width: 2, height: 1 })]).toEqual([0, 0]);
    expect(() => greyLevels([1], grid, { width: 1, height: 1 })).toThrow(/1 values for 2 × 3 patches/);
    expect(() => greyLevels([-1, 0], { rows: 1, columns: 2 }, { width: 1, height: 1 })).toThrow(/holds -1/);
  });
});
