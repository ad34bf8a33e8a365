import { recordProgram } from "../../engine/index.ts";
import {
  evaluationParameters,
  type JitterStep,
  packImages,
  plainView,
  type ViewConfig,
  type ViewParameters,
  views,
  viewWords,
  writeParameters,
} from "../views/index.ts";
import { type GoldenCase, type Json, relativeError } from "./fixture.ts";

/** Mean and standard deviation that leave the values 0 … 255 as they are. */
const unchanged = { mean: [0, 0, 0], deviation: [1 / 255, 1 / 255, 1 / 255] };
const normalizationBound = 1e-6;
/** Share of values of an operation that may differ at all. */
const unequalShare = 0.01;

/** How a stored tensor comes about. */
interface Recipe {
  readonly view: ViewParameters | "evaluation";
  readonly interpolation?: "bicubic" | "bilinear";
  /** Grey levels that values may differ by; 2 for a chain of operations. Floats have {@link normalizationBound}. */
  readonly levels: 1 | 2;
}

/** Each augmentation alone, the evaluation transform, and a chain. */
export async function checkAugmentations(golden: GoldenCase): Promise<void> {
  for (const name of golden.names()) {
    const recipe = recipeOf(golden, name);
    if (!recipe) continue;
    const shape = golden.shape(name);
    const isFloat = shape[0] === 3 && shape[2] !== 3;
    const [height = 1, width = 1] = isFloat ? shape.slice(1) : shape;
    const normalization = isFloat
      ? { mean: golden.json.get("mean").numbers(), deviation: golden.json.get("std").numbers() }
      : unchanged;
    const actual = await render(golden, recipe, height, width, normalization);
    if (isFloat) await golden.compare(name, actual, normalizationBound);
    else compareBytes(golden, name, interleaved(actual, 3), await golden.bytes(name), recipe.levels);
  }
}

function recipeOf(golden: GoldenCase, name: string): Recipe | undefined {
  const operations = golden.json.get("operations");
  const [operation = "", part = "", ...rest] = name.split(".");
  const crop = wholeImage(golden);
  const alone = (view: Partial<ViewParameters>): Recipe => ({ view: { crop, ...view }, levels: 1 });
  if (name === "image" || name === "normalized") return alone({});
  if (operation === "resized_crop") {
    const interpolation = rest[0] === "bilinear" ? "bilinear" : "bicubic";
    return { view: { crop: cropOf(operations, Number(part)) }, interpolation, levels: 1 };
  }
  if (operation === "hflip") return alone({ flip: true });
  if (operation === "jitter") return alone({ jitter: jitterOf(operations, part) });
  if (operation === "grayscale") return alone({ greyscale: true });
  if (operation === "solarize") return alone({ solariseFrom: operations.get("solarize", "threshold").number() });
  if (operation === "gaussian_blur") return alone({ sigmaPixels: Number([part, ...rest].join(".")) });
  if (operation === "eval") return { view: "evaluation", levels: 1 };
  if (operation === "view") return { view: chainOf(operations), levels: 2 };
  return undefined;
}

function wholeImage(golden: GoldenCase): ViewParameters["crop"] {
  const [height = 1, width = 1] = golden.shape("image");
  return { left: 0, top: 0, width, height };
}

function cropOf(operations: Json, index: number): ViewParameters["crop"] {
  const number = (key: string): number => operations.get("resized_crop", index, key).number();
  return { left: number("left"), top: number("top"), width: number("width"), height: number("height") };
}

/** @param part - `order` and a number, or the one operation */
function jitterOf(operations: Json, part: string): JitterStep[] {
  const jitter = operations.get("color_jitter");
  const order = part.startsWith("order") ? jitter.get("orders", part.slice("order".length)).texts() : [part];
  const names = ["brightness", "contrast", "saturation", "hue"] as const;
  return order.flatMap((wanted) =>
    names.filter((name) => name === wanted).map((name): JitterStep => [name, jitter.get("factors", name).number()]),
  );
}

/** The steps of `operations.view`, such as "color jitter order 0". */
function chainOf(operations: Json): ViewParameters {
  const steps = operations.get("view", "sequence").texts();
  const numberAfter = (text: string): string | undefined =>
    steps.find((step) => step.startsWith(text))?.match(/^[^\d]*([\d.]+)/)?.[1];
  const order = numberAfter("color jitter order");
  return {
    crop: cropOf(operations, Number.parseInt(numberAfter("resized_crop") ?? "0", 10)),
    flip: steps.includes("hflip"),
    jitter: order === undefined ? [] : jitterOf(operations, `order${order}`),
    sigmaPixels: Number(numberAfter("gaussian blur radius") ?? 0),
    greyscale: steps.includes("grayscale"),
    solariseFrom: Number(numberAfter("solarize") ?? 256),
  };
}

async function render(
  golden: GoldenCase,
  { view, interpolation = "bicubic" }: Recipe,
  heightPixels: number,
  widthPixels: number,
  normalization: Pick<ViewConfig, "mean" | "deviation">,
): Promise<ArrayLike<number>> {
  const sigma = view === "evaluation" ? 0 : (view.sigmaPixels ?? 0);
  const options = {
    ...plainView,
    jitter: { ...plainView.jitter, probability: view !== "evaluation" && view.jitter ? 1 : 0 },
    blur: { probability: sigma > 0 ? 1 : 0, sigmaPixels: [sigma, sigma] as const },
  };
  const global = { heightPixels, widthPixels, views: [options] };
  const config: ViewConfig = { ...normalization, channels: 3, interpolation, global };
  const { width, height } = wholeImage(golden);
  const parameters = new Uint32Array(viewWords);
  if (view === "evaluation") {
    const shorterSide = golden.json.get("operations", "eval", "resize_shorter_side").number();
    parameters.set(evaluationParameters(config, [{ width, height }], shorterSide));
  } else writeParameters(parameters, 0, global, view);
  const data = await golden.bytes("image");
  const packed = packImages([{ width, height, channels: 3, data }], data.length);
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
  const bound = levels / Math.max(1, ...expected);
  const unequal = expected.filter((value, i) => value !== actual[i]).length / expected.length;
  const shareError = levels === 1 ? (bound * unequal) / unequalShare : 0;
  golden.addError(name, Math.max(relativeError(actual, expected), shareError), bound);
}
