import type { RgbImage } from "../../../refiner/data/index.ts";
import type { EvaluationReport, RunRecord } from "../../../refiner/report/index.ts";
import { parseMetrics, reportDataSchema } from "../../../refiner/report/index.ts";
import { pngDataUrl } from "../../../refiner/report/report_node.ts";

const heads = ["block2", "block3", "block4", "last"];

/** Lines as a run of two stages writes them. */
export function exampleMetrics(): string {
  const lines: unknown[] = [knn(1, 0, [0.61, 0.72, 0.8, 0.84, 0.83, 0.822])];
  for (const stage of [2, 3] as const) {
    for (let update = 1; update <= 300; update++) {
      const fall = Math.exp(-update / 90) * (stage === 2 ? 1 : 0.5);
      lines.push({
        kind: "update",
        stage,
        update,
        of: 300,
        epoch: Math.floor(update / 60),
        loss: 4 * (2.2 + 2.4 * fall),
        learningRate: { heads: 1e-3 * Math.min(1, update / 30), ...(stage === 3 ? { encoder: 5e-4 } : {}) },
        gradientNorm: { heads: 0.4 + 0.2 * fall, ...(stage === 3 ? { encoder: 0.1 } : {}) },
        heads: Object.fromEntries(
          heads.map((head, i) => [
            head,
            {
              loss: 2.2 + 0.1 * i + 2.4 * fall + 0.05 * Math.sin(update * (i + 2)),
              globalLoss: 2.2 + 2.4 * fall,
              localLoss: Number.NaN,
              globalAlignment: 0.5 - 0.4 * fall,
              nnSimilarity: 0.6 + 0.3 * (1 - fall),
              nnAge: 1200 + 300 * Math.cos(update / 20),
              nnAccuracy: 0.5 + 0.3 * (1 - fall) - 0.02 * i,
            },
          ]),
        ),
        imagesPerSecond: 410 + 20 * Math.sin(update),
        waitShare: 0.03,
        deviceBytes: 3.1e8,
      });
    }
    const gain = stage === 3 ? 0.05 : 0;
    lines.push(
      knn(stage, 5 * stage, [0.61 + gain, 0.72 + gain, 0.8 + gain, 0.84 + gain, 0.83 + 1.4 * gain, 0.822 + 1.8 * gain]),
    );
  }
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

function knn(stage: 1 | 2 | 3, epoch: number, accuracy: readonly number[]) {
  return { kind: "knn", stage, epoch, weights: stage === 3 ? "ema" : "encoder", k: 20, accuracy };
}

/** A small picture: a stripe whose place and colour follow the number. */
function picture(number: number): RgbImage {
  const side = 28;
  const data = Uint8Array.from({ length: side * side * 3 }, (_, at) => {
    const x = Math.floor(at / 3) % side;
    return Math.abs(x - ((number * 5) % side)) < 4 ? 60 + ((number * 47 + 80 * (at % 3)) % 196) : 16;
  });
  return { width: side, height: side, channels: 3, data };
}

/** Of the encoders before and after. */
const exampleEvaluation: EvaluationReport = {
  protocol: "lowshot",
  selection: "nothing was chosen: the penalty is 0.00025 / images, and each regression stands at its minimum",
  encoders: ["before", "after"].map((name) => ({ name, facts: { file: `${name}.safetensors` } })),
  scores: [1, 2, 5].map((shots) => ({
    name: `accuracy, ${shots} per class`,
    values: [0.2, 0.5].map((value) => ({ value: value + shots / 20, standardError: 0.012 })),
    differences: [{ value: 0.3, standardError: 0.015, how: "paired" as const }],
  })),
  published: [
    {
      caption: "MIM-Refiner, arXiv 2402.10093: ImageNet-1K with ViT-L/16, per cent",
      columns: ["", ...[1, 2, 5].map((shots) => `accuracy, ${shots} per class`)],
      rows: [
        ["before", "25.00", "30.00", "45.00"],
        ["MAE", "14.3", "34.9", "56.9"],
      ],
      texts: ["not as published: subsets drawn here (published from lists)"],
    },
  ],
  shared: { shots: "1, 2, 5", "test images": "1000 of /images/a/rather/long/path/to/a/folder/of/test/images" },
};

export async function exampleRun(name = "digits <first>"): Promise<RunRecord> {
  const shown = async (number: number, isSame?: boolean) => ({
    src: await pngDataUrl(picture(number)),
    label: `class ${number % 10}`,
    ...(isSame === undefined ? {} : { similarity: 0.9 - number / 100, sameClass: isSame }),
  });
  const strip = (first: number, good: number) =>
    Promise.all(Array.from({ length: 8 }, (_, i) => shown(first + i, i % good === 0)));
  const data = reportDataSchema.parse({
    featureNote: "class token of the last block",
    galleries: await Promise.all(
      [1, 2, 3].map(async (query) => ({
        query: await shown(query),
        before: await strip(query, 3),
        after: await strip(query + 9, 1),
      })),
    ),
    patchMaps: await Promise.all(
      [4, 5].map(async (image) => ({
        image: await shown(image),
        before: await shown(image + 1),
        after: await shown(image + 2),
        ...(image === 4 ? { attention: { before: await shown(image + 3), after: await shown(image + 4) } } : {}),
      })),
    ),
    device: { name: "llvmpipe (LLVM 15.0.6, 256 bits)", type: "software", backend: "vulkan" },
    timings: [
      { name: "stage 2", seconds: 61 },
      { name: "stage 3", seconds: 130 },
    ],
    memoryPlan: [
      { name: "weights", bytes: 1.2e6 },
      { name: "activations", bytes: 9e7 },
    ],
  });
  return {
    name,
    config: { version: "0.1.0", seed: 0, heads: [2, 3, 4, "last"], adapter: { name: "llvmpipe" } },
    metrics: parseMetrics(exampleMetrics()),
    data,
    evaluations: [exampleEvaluation],
  };
}
