import type { Sensitivity } from "../../refiner/evaluation/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";

/** The spread over variants, and a row for each. */
export function sensitivityTable(sensitivity: Sensitivity | undefined): string[][] {
  if (!sensitivity) return [];
  const { of, base, variants, smallest, largest } = sensitivity;
  return [
    ["one setting changed", "to", of, "difference"],
    ...variants.map(({ setting, value, score }) => [setting, value, score.toFixed(4), signed(score - base)]),
    [
      `${of}: ${base.toFixed(4)}; with one setting changed ${smallest.toFixed(4)} to ${largest.toFixed(4)} (${variants.length} variants; taking the largest would be a choice on the test images)`,
    ],
  ];
}

function signed(difference: number): string {
  return `${difference < 0 ? "" : "+"}${difference.toFixed(4)}`;
}

/** Follows the scoring of variants with progress on stderr. */
export async function withVariantProgress<T>(
  output: Output,
  work: (onRun: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | undefined;
  try {
    return await work((done, total) => {
      progress ??= new Progress(output, total, "variants");
      progress.update(done);
    });
  } finally {
    progress?.end();
  }
}
