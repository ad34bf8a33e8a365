import { recordProgram } from "../../engine/index.ts";
import { augmentViews } from "../data/views/augment_views.ts";
import {
  type AugmentAmount,
  type AugmentOperation,
  type AugmentStep,
  augmentAmount,
  augmentOperations,
  augmentWords,
  drawnStep,
  publishedRandAugment,
  writeAugmentStep,
} from "../data/views/index.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

/** Every operation alone at several magnitudes, and whole draws of two: bytes must be equal. */
export const randAugmentCase: GoldenCheck = {
  run: checkRandAugment,
  inputs: {
    tensors: /^image(_low_contrast)?$/,
    keys: /^(interpolation|operations_in_draw_order|fill_color|num_ops|(magnitude|magnitude_std|apply_probability)|results\.\d+\.(name|input|op|magnitude|uniform_draw)|sequences\.\d+\.(name|steps\.\d+\.(op|applied|\w+_draw)))$/,
  },
};

/** The published names, in the order of the list that is drawn from. */
const published: readonly string[] = [
  "auto_contrast",
  "equalize",
  "invert",
  "rotate",
  "posterize",
  "solarize",
  "solarize_add",
  "color",
  "contrast",
  "brightness",
  "sharpness",
  "shear_x",
  "shear_y",
  "translate_horizontal",
  "translate_vertical",
];

async function checkRandAugment(golden: GoldenCase): Promise<void> {
  const { operations, magnitude, deviation, probability, fill } = publishedRandAugment;
  golden.json.expect({ operations_in_draw_order: published, interpolation: "bicubic", fill_color: fill });
  golden.json.expect({ num_ops: operations, magnitude, magnitude_std: deviation, apply_probability: probability });
  for (const key of golden.json.get("results").keys()) await checkAlone(golden, golden.json.get("results", key));
  for (const key of golden.json.get("sequences").keys()) await checkSequence(golden, golden.json.get("sequences", key));
}

function operationOf(json: Json): AugmentOperation {
  const name = json.get("op").text();
  const operation = augmentOperations[published.indexOf(name)];
  if (!operation) throw json.get("op").unexpected(`one of ${published.join(", ")}`);
  return operation;
}

async function checkAlone(golden: GoldenCase, result: Json): Promise<void> {
  const { fill } = publishedRandAugment;
  const [given, sign] = [result.get("magnitude"), result.get("uniform_draw")];
  const magnitude = given.exists && given.value !== null ? given.number() : 0;
  // A magnitude that is given stands for a draw of exactly it.
  const draws = { apply: 0, sign: sign.exists ? sign.number() : 0, shift: 0 };
  const step = drawnStep({ magnitude, probability: 1, fill }, operationOf(result), draws);
  const name = result.get("name").text();
  if (step) compareAmount(golden, result, step, golden.shape(name));
  await compareViews(golden, name, result.get("input").text(), step ? [step] : []);
}

/** The derived parameters that the file states. */
function compareAmount(
  golden: GoldenCase,
  result: Json,
  step: AugmentStep,
  [height = 1, width = 1]: readonly number[],
) {
  const amount = augmentAmount(step, { width, height });
  for (const key of ["bits", "threshold", "add", "factor", "degrees_counter_clockwise", "shear", "shift_pixels"]) {
    const stated = result.get(key);
    if (stated.exists) golden.add(stated.path, [statedAmount(key, amount)], [stated.number()], 1e-12);
  }
}

function statedAmount(key: string, amount: AugmentAmount): number {
  if ("whole" in amount) return amount.whole;
  if ("factor" in amount) return amount.factor;
  const [a = 1, b = 0, c = 0, d = 0, , f = 0] = amount.map;
  if (key === "shear") return b === 0 ? d : b;
  if (key === "shift_pixels") return c === 0 ? f : c;
  return (Math.atan2(d, a) * 180) / Math.PI;
}

async function checkSequence(golden: GoldenCase, sequence: Json): Promise<void> {
  const steps = sequence.get("steps");
  const drawn = steps.keys().flatMap((key) => {
    const step = steps.get(key);
    const number = (name: string): number => (step.has(name) ? step.get(name).number() : 0);
    const draws = { apply: number("apply_draw"), sign: number("uniform_draw"), shift: number("normal_draw") };
    const result = drawnStep(publishedRandAugment, operationOf(step), draws);
    step.expect({ applied: result !== undefined });
    if (result && step.has("magnitude")) golden.addScalar(step.get("magnitude"), result.magnitude, 1e-12);
    return result ? [result] : [];
  });
  await compareViews(golden, sequence.get("name").text(), "image", drawn);
}

async function compareViews(golden: GoldenCase, name: string, input: string, steps: readonly AugmentStep[]) {
  const [height = 1, width = 1] = golden.shape(input);
  const bytes = await golden.bytes(input);
  const words = Uint32Array.from({ length: height * width }, (_, i) => packed(bytes, i));
  const places = Math.max(1, steps.length);
  const drawn = new Uint32Array(places * augmentWords);
  steps.forEach((step, place) => {
    writeAugmentStep(drawn, place, step, { width, height });
  });
  const group = { heightPixels: height, widthPixels: width, batch: 1, views: 1, firstRow: 0 };
  const recorded = recordProgram(
    golden.device,
    (p) => {
      const pixels = p.input("pixels", [1, height, width], "u32");
      return { views: augmentViews(p, pixels, p.input("drawn", [1, places, augmentWords], "u32"), group) };
    },
    { inference: true },
  );
  const { views } = await (await recorded.run({ pixels: words, drawn }, ["views"])).read();
  recorded.destroy();
  const result = Uint8Array.from(
    { length: 3 * words.length },
    (_, i) => (views[Math.floor(i / 3)] ?? 0) >>> (8 * (i % 3)),
  );
  await golden.compare(name, result, 0);
}

function packed(bytes: Uint8Array, pixel: number): number {
  const [red = 0, green = 0, blue = 0] = bytes.subarray(3 * pixel, 3 * pixel + 3);
  return red | (green << 8) | (blue << 16);
}
