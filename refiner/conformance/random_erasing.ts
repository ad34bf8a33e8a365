import { recordProgram } from "../../engine/index.ts";
import {
  erasedBox,
  erasedSides,
  eraseImages,
  erasureWords,
  publishedErasing,
  writeErasure,
} from "../data/views/index.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

const noiseOf = { pixelwise: "perValue", channelwise: "perChannel", zeros: "zero" } as const;

/** Boxes by their draws, and images in which they are replaced by the stored noise. */
export const randomErasingCase: GoldenCheck = {
  run: checkErasing,
  inputs: {
    tensors: /^case\.\d+\/(image|noise)$/,
    keys: /^(probability|m(in|ax)_(area|aspect|attempts)|count|cases\.\d+\.(name|mode|apply_draw|applied|attempts\.\d+\.(area_fraction|log_aspect_ratio)))$/,
  },
};

async function checkErasing(golden: GoldenCase): Promise<void> {
  const { probability, area, ratio } = publishedErasing;
  golden.json.expect({ count: 1, max_attempts: 10, probability });
  golden.json.expect({ min_area: area[0], max_area: area[1], min_aspect: ratio[0], max_aspect: ratio[1] });
  for (const key of golden.json.get("cases").keys()) await checkCase(golden, golden.json.get("cases", key));
}

async function checkCase(golden: GoldenCase, json: Json): Promise<void> {
  const name = json.get("name").text();
  const [channels = 1, height = 1, width = 1] = golden.shape(`${name}/image`);
  const isApplied = json.get("apply_draw").number() < publishedErasing.probability;
  json.expect({ applied: isApplied });
  const box = isApplied ? boxOf(golden, json, { width, height }) : undefined;
  const mode = json.get("mode").text();
  const noise = Object.entries(noiseOf).find(([published]) => published === mode)?.[1];
  if (!noise) throw json.get("mode").unexpected(`one of ${Object.keys(noiseOf).join(", ")}`);
  const table = new Uint32Array(erasureWords);
  if (box) writeErasure(table, 0, { box, noise, seed: 0, step: 0, sample: 0 });
  const spread = new Float32Array(channels * height * width);
  const stored = golden.has(`${name}/noise`) ? await golden.floats(`${name}/noise`) : undefined;
  if (box && stored) {
    const [, rows = 1, columns = 1] = golden.shape(`${name}/noise`);
    for (let i = 0; i < channels * box.height * box.width; i++) {
      const [c, y, x] = [
        Math.floor(i / (box.height * box.width)),
        Math.floor(i / box.width) % box.height,
        i % box.width,
      ];
      const from = (c * rows + (rows === 1 ? 0 : y)) * columns + (columns === 1 ? 0 : x);
      spread[(c * height + box.top + y) * width + box.left + x] = stored[from] ?? Number.NaN;
    }
  }
  const shape = [1, channels, height, width];
  const recorded = recordProgram(
    golden.device,
    (p) => ({
      y: eraseImages(p, p.input("x", shape), p.input("table", [1, erasureWords], "u32"), p.input("noise", shape)),
    }),
    { inference: true },
  );
  const x = await golden.floats(`${name}/image`);
  const { y } = await (await recorded.run({ x, table, noise: spread }, ["y"])).read();
  recorded.destroy();
  await golden.compare(`${name}/erased`, y, 0);
}

/** The box that the attempts lead to; sides and places are compared with the stored ones. */
function boxOf(golden: GoldenCase, json: Json, size: { readonly width: number; readonly height: number }) {
  const attempts = json.get("attempts");
  const draws = attempts.keys().map((key) => drawsOf(golden, attempts.get(key), size));
  const box = erasedBox(publishedErasing, size, (attempt) => draws[attempt] ?? [1, 1, 0, 0]);
  const last = attempts.get(attempts.keys().length - 1);
  if (box && last.has("top")) {
    const { top, left, height, width } = box;
    for (const [key, value] of Object.entries({ top, left, height, width })) golden.addScalar(last.get(key), value, 0);
  }
  return box;
}

/** Uniform numbers that lead to a stored attempt. */
function drawsOf(
  golden: GoldenCase,
  attempt: Json,
  size: { readonly width: number; readonly height: number },
): number[] {
  const { area, ratio } = publishedErasing;
  const [share, logRatio] = [attempt.get("area_fraction").number(), attempt.get("log_aspect_ratio").number()];
  const sides = erasedSides(share, logRatio, size);
  golden.addScalar(attempt.get("height"), sides.height, 0);
  golden.addScalar(attempt.get("width"), sides.width, 0);
  const place = (key: string, side: number, length: number): number =>
    attempt.has(key) ? (attempt.get(key).number() + 0.5) / (length - side + 1) : 0;
  return [
    (share - area[0]) / (area[1] - area[0]),
    (logRatio - Math.log(ratio[0])) / (Math.log(ratio[1]) - Math.log(ratio[0])),
    place("top", sides.height, size.height),
    place("left", sides.width, size.width),
  ];
}
