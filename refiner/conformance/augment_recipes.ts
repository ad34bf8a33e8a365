import type { JitterStep, ViewParameters } from "../data/views/index.ts";
import type { GoldenCase } from "./fixture.ts";
import type { Json } from "./json.ts";

/** One rendering: of the whole image, or of what the rendering before it left. */
export interface Pass {
  readonly view: ViewParameters | "evaluation";
  readonly interpolation?: "bicubic" | "bilinear";
  /** Height and width of the result, where the stored tensor does not tell. */
  readonly size?: readonly number[];
}

interface ViewPass extends Pass {
  readonly view: ViewParameters;
}

/** How a stored tensor comes about. */
export interface Recipe {
  readonly passes: readonly Pass[];
  /** Grey levels that values may differ by; 2 for a chain of operations. */
  readonly levels: 1 | 2;
}

/** The recipe of a tensor by its name. */
export function recipeOf(golden: GoldenCase, name: string): Recipe | undefined {
  const operations = golden.json.get("operations");
  const [operation = "", part = "", ...rest] = name.split(".");
  const crop = wholeImage(golden.shape("image"));
  const alone = (view: Partial<ViewParameters>): Recipe => ({ passes: [{ view: { crop, ...view } }], levels: 1 });
  if (name === "image" || name === "normalized") return alone({});
  if (operation === "resized_crop") {
    const interpolation = rest[0] === "bilinear" ? "bilinear" : "bicubic";
    return { passes: [{ view: { crop: cropOf(operations, Number(part)) }, interpolation }], levels: 1 };
  }
  if (operation === "hflip") return alone({ flip: true });
  if (operation === "jitter") return alone({ jitter: jitterOf(operations, part) });
  if (operation === "grayscale") return alone({ greyscale: true });
  if (operation === "solarize") return alone({ solariseFrom: operations.get("solarize", "threshold").number() });
  if (operation === "gaussian_blur") return alone({ sigmaPixels: Number([part, ...rest].join(".")) });
  if (operation === "eval") return { passes: [{ view: "evaluation" }], levels: 1 };
  if (operation === "view") return { passes: chainOf(golden), levels: 2 };
  return undefined;
}

function wholeImage([height = 1, width = 1]: readonly number[]): ViewParameters["crop"] {
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

type Step = readonly [start: string, part: (operations: Json, value: string) => Partial<ViewParameters>];

/** Steps of a chain in the order of one rendering, by how their text begins. */
const steps: readonly Step[] = [
  ["resized_crop.", (operations, value) => ({ crop: cropOf(operations, Number.parseInt(value, 10)) })],
  ["hflip", () => ({ flip: true })],
  ["color jitter order ", (operations, value) => ({ jitter: jitterOf(operations, `order${value}`) })],
  ["gaussian blur radius ", (_, value) => ({ sigmaPixels: Number(value) })],
  ["grayscale", () => ({ greyscale: true })],
  ["solarize ", (_, value) => ({ solariseFrom: Number(value) })],
];

/** The steps of `operations.view`, such as "color jitter order 0", in as few renderings as their order allows. */
function chainOf(golden: GoldenCase): Pass[] {
  const operations = golden.json.get("operations");
  const passes: Pass[] = [];
  let size = golden.shape("image").slice(0, 2);
  let pass: ViewPass = { view: { crop: wholeImage(size) }, size };
  let reached = -1;
  for (const text of operations.get("view", "sequence").texts()) {
    const place = steps.findIndex(([start]) => text.startsWith(start));
    const [start = "", part] = steps[place] ?? [];
    if (!part) continue; // normalisation, which every rendering ends with
    if (place <= reached) {
      passes.push(pass);
      pass = { view: { crop: wholeImage(size) }, size };
    }
    const value = text.slice(start.length);
    if (start === "resized_crop.") {
      size = operations.get("resized_crop", Number.parseInt(value, 10), "out").numbers();
      pass = { ...pass, size, interpolation: text.endsWith("bilinear") ? "bilinear" : "bicubic" };
    }
    pass = { ...pass, view: { ...pass.view, ...part(operations, value) } };
    reached = place;
  }
  return [...passes, pass];
}
