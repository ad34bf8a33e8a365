import { type HostArray, recordProgram } from "../../engine/index.ts";
import type { RgbImage } from "../data/image_source.ts";
import {
  evaluationParameters,
  packImages,
  plainView,
  type ViewConfig,
  views,
  viewWords,
  writeParameters,
} from "../data/views/index.ts";
import { type Pass, type Recipe, recipeOf } from "./augment_recipes.ts";
import { type GoldenCase, type GoldenCheck, relativeError } from "./fixture.ts";

type Normalization = Pick<ViewConfig, "mean" | "deviation">;

/** Mean and standard deviation that leave the values 0 … 255 as they are. */
const unchanged: Normalization = { mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255] };
const normalizationBound = 1e-6;
/** Share of values of an operation that may differ at all. */
const unequalShare = 0.01;

/** Each augmentation alone, the evaluation transform, and a chain. */
export const augmentCase: GoldenCheck = {
  run: checkAugmentations,
  inputs: { keys: /^(image\.(height|width)|operations\..+|mean|std)$/ },
};

async function checkAugmentations(golden: GoldenCase): Promise<void> {
  expectSizes(golden);
  for (const name of golden.names()) {
    const recipe = recipeOf(golden, name);
    if (!recipe) continue;
    if (golden.dtype(name) !== "u8") await checkNormalized(golden, name, recipe);
    else compareBytes(golden, name, await renderBytes(golden, recipe, name), await golden.bytes(name), recipe.levels);
  }
}

/** What the JSON file says of the stored images must be what they are. */
function expectSizes(golden: GoldenCase): void {
  const operations = golden.json.get("operations");
  const [height, width] = golden.shape("image");
  golden.json.get("image").expect({ height, width });
  if (golden.has("eval.cropped"))
    operations.get("eval").expect({ center_crop: golden.shape("eval.cropped")[0], interpolation: "bicubic" });
  const stored = golden.names("gaussian_blur.").map((name) => Number(name.slice("gaussian_blur.".length)));
  operations.get("gaussian_blur").expect({ radii: stored });
  for (const index of operations.get("resized_crop").keys())
    operations.get("resized_crop", index).expect({ out: golden.shape(`resized_crop.${index}.bicubic`).slice(0, 2) });
}

/** Normalised values where the bytes are equal to the stored ones; how many must be is judged by the bytes' own row. */
async function checkNormalized(golden: GoldenCase, name: string, recipe: Recipe): Promise<void> {
  const [, height = 1, width = 1] = golden.shape(name);
  const bytesOf: Readonly<Record<string, string>> = { normalized: "image", "eval.normalized": "eval.cropped" };
  const bytesName = bytesOf[name] ?? name.replace(/normalized$/, "uint8");
  const [ours, theirs] = [await renderBytes(golden, recipe, bytesName), await golden.bytes(bytesName)];
  const normalization = { mean: golden.json.get("mean").numbers(), deviation: golden.json.get("std").numbers() };
  const actual = await renderAll(golden, recipe, [height, width], normalization);
  const stored = await golden.floats(name);
  const pixels = height * width;
  const compared = Float32Array.from(actual, (value, at) => {
    const place = 3 * (at % pixels) + Math.floor(at / pixels);
    return ours[place] === theirs[place] ? value : (stored[at] ?? Number.NaN);
  });
  await golden.compare(name, compared, normalizationBound);
}

/** A rendering as bytes of a channels-last image of a stored one's size. */
async function renderBytes(golden: GoldenCase, recipe: Recipe, name: string): Promise<Uint8Array> {
  return interleaved(await renderAll(golden, recipe, golden.shape(name), unchanged), 3);
}

/** All passes one after the other, the last one normalised. */
async function renderAll(
  golden: GoldenCase,
  { passes }: Recipe,
  size: readonly number[],
  normalization: Normalization,
): Promise<HostArray> {
  const [height = 1, width = 1] = golden.shape("image");
  let image: RgbImage = { width, height, channels: 3, data: await golden.bytes("image") };
  for (const pass of passes.slice(0, -1)) {
    const [rows = 1, columns = 1] = pass.size ?? [];
    const data = interleaved(await render(golden, image, pass, [rows, columns], unchanged), 3);
    image = { width: columns, height: rows, channels: 3, data };
  }
  const [last] = passes.slice(-1);
  return last ? render(golden, image, last, size, normalization) : new Float32Array();
}

async function render(
  golden: GoldenCase,
  image: RgbImage,
  { view, interpolation = "bicubic" }: Pass,
  [heightPixels = 1, widthPixels = 1]: readonly number[],
  normalization: Normalization,
): Promise<HostArray> {
  const sigma = view === "evaluation" ? 0 : (view.sigmaPixels ?? 0);
  const options = {
    ...plainView,
    jitter: { ...plainView.jitter, probability: view !== "evaluation" && view.jitter ? 1 : 0 },
    blur: { probability: sigma > 0 ? 1 : 0, sigmaPixels: [sigma, sigma] as const },
  };
  const global = { heightPixels, widthPixels, views: [options] };
  const config: ViewConfig = { ...normalization, channels: 3, interpolation, global };
  const parameters = new Uint32Array(viewWords);
  if (view === "evaluation") {
    const shorterSide = golden.json.get("operations", "eval", "resize_shorter_side").number();
    parameters.set(evaluationParameters(config, [image], shorterSide));
  } else writeParameters(parameters, 0, global, view);
  const packed = packImages([image], image.data.length);
  const recorded = recordProgram(
    golden.device,
    (p) => ({
      ...views(
        p,
        {
          images: p.input("images", [packed.images.length], "u32"),
          table: p.input("table", [1, 4], "u32"),
          parameters: p.input("parameters", [1, viewWords], "u32"),
        },
        config,
      ),
    }),
    { inference: true },
  );
  const { global: values } = await (
    await recorded.run({ images: packed.images, table: packed.table, parameters }, ["global"])
  ).read();
  recorded.destroy();
  return values;
}

/** Channels-last whole numbers from channels-first floats. */
function interleaved(values: ArrayLike<number>, channels: number): Uint8Array {
  const pixels = values.length / channels;
  return Uint8Array.from({ length: values.length }, (_, i) =>
    Math.round(values[(i % channels) * pixels + Math.floor(i / channels)] ?? 0),
  );
}

/** The error is scaled so that it also reaches the bound where 1 % of an operation's values differ at all. */
function compareBytes(golden: GoldenCase, name: string, actual: Uint8Array, expected: Uint8Array, levels: 1 | 2): void {
  const bound = levels / expected.reduce((most, value) => Math.max(most, value), 1);
  const unequal = expected.filter((value, i) => value !== actual[i]).length / expected.length;
  const shareError = levels === 1 ? (bound * unequal) / unequalShare : 0;
  golden.addError(name, Math.max(relativeError(actual, expected), shareError), bound);
}
