import {
  type Corruption,
  type CorruptionDraws,
  corruptImage,
  corruptionLevels,
  isCorruption,
} from "../data/corruptions/index.ts";
import type { RgbImage } from "../data/image_source.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** Corruptions of ImageNet-C on one image, with the stored random numbers. */
export const corruptionsCase: GoldenCheck = {
  run: checkCorruptions,
  inputs: {
    tensors: /^(image|noise|fog\.\d\.map|glass_blur\.\d\.dx_dy|shot_noise\.\d\.counts|impulse_noise\.\d\.mask)$/,
    keys: /^(size|levels\..+)$/,
    remarks: /^(\w+_severities|not_included|source_note|share_of_values_within_1e_4_of_an_integer(\..+)?)$/,
  },
};

/** Where the random numbers are given, all of the arithmetic is float64's. */
const exact: readonly Corruption[] = ["gaussian_noise", "speckle_noise", "shot_noise", "impulse_noise"];
const mostMeanDifference = 0.02;
const mostJpegDifference = 2;

async function checkCorruptions(golden: GoldenCase): Promise<void> {
  const [height = 1, width = 1] = golden.shape("image");
  golden.json.expect({ size: height });
  golden.json.get("levels").expect(corruptionLevels);
  for (const [name, levels] of Object.entries(corruptionLevels))
    golden.json.get("levels", name).expect(Object.fromEntries(levels.entries())); // a list per severity
  const image: RgbImage = { width, height, channels: 3, data: await golden.bytes("image") };
  for (const name of golden.names()) {
    const [corruption = "", severity = "", ...rest] = name.split(".");
    if (!isCorruption(corruption) || severity === "" || rest.length > 0) continue;
    if (corruption === "jpeg_compression" && !golden.jpeg) continue;
    const draws = await storedDraws(golden, corruption, name);
    const jpeg = golden.jpeg ? { jpeg: golden.jpeg } : {};
    const { data } = await corruptImage(image, { corruption, severity: Number(severity), draws, ...jpeg });
    compareLevels(golden, name, corruption, data, await golden.bytes(name));
  }
}

function compareLevels(golden: GoldenCase, name: string, corruption: Corruption, ours: Uint8Array, theirs: Uint8Array) {
  const differences = Array.from(theirs, (value, i) => Math.abs(value - (ours[i] ?? Number.POSITIVE_INFINITY)));
  const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
  const most = differences.reduce((largest, difference) => Math.max(largest, difference), 0);
  if (corruption === "jpeg_compression") golden.addError(name, mean, mostJpegDifference);
  else if (exact.includes(corruption)) golden.addError(name, most, 0);
  else golden.addError(name, Math.max(most, mean / mostMeanDifference), 1);
}

/** The stored numbers in the order in which a corruption asks for them. */
async function storedDraws(golden: GoldenCase, corruption: Corruption, name: string): Promise<CorruptionDraws> {
  const stored = async (tensor: string): Promise<ArrayLike<number>> => {
    if (!golden.has(tensor)) return [];
    return golden.dtype(tensor) === "f32" ? golden.floats(tensor) : golden.integers(tensor);
  };
  const inOrder = (values: ArrayLike<number>): (() => number) => {
    let at = 0;
    return () => values[at++] ?? Number.NaN;
  };
  const mask = corruption === "impulse_noise" ? await stored(`${name}.mask`) : [];
  // Two draws for a value that becomes an impulse: that it does, and whether it is a dark one.
  const uniform = inOrder(Array.from(mask).flatMap((kind) => (kind === 0 ? [1] : [0, kind === 1 ? 0 : 1])));
  const map = corruption === "fog" ? await stored(`${name}.map`) : [];
  return {
    uniform,
    normal: inOrder(corruption.endsWith("noise") ? await stored("noise") : []),
    poisson: inOrder(corruption === "shot_noise" ? await stored(`${name}.counts`) : []),
    integer: inOrder(corruption === "glass_blur" ? await stored(`${name}.dx_dy`) : []),
    landscape: () => Float64Array.from(map),
  };
}
