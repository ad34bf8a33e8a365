import { learningRateAt, peakLearningRate, vtabLearningRateFactor } from "../../training/schedule.ts";
import { goldenBounds } from "../bounds.ts";
import type { GoldenCase } from "../fixture.ts";

/** README of the fixtures: relative to the peak; those of VTAB-1K were stored from a warm-up in f32. */
const bounds = { rate: 1e-12, vtab: 1e-6 } as const;

/** Fine-tuning: a warm-up in epochs, then a cosine to 0. */
export function checkFinetuneRates(golden: GoldenCase): void {
  const runs = golden.json.get("fine_tuning");
  for (const index of runs.keys()) {
    const entry = runs.get(index);
    const number = (key: string): number => entry.get(key).number();
    const peak = peakLearningRate(number("base_lr"), number("batch_size"));
    golden.addScalar(entry.get("peak_lr"), peak, bounds.rate);
    const updates = number("updates_per_epoch");
    const schedule = {
      peak,
      warmupUpdates: number("warmup_epochs") * updates,
      totalUpdates: number("epochs") * updates,
      end: number("end_lr"),
    };
    const stored = entry.get("learning_rates");
    const expected = stored.numbers();
    golden.add(
      stored.path,
      expected.map((_, update) => learningRateAt(schedule, update)),
      expected,
      bounds.rate,
    );
  }
}

/** VTAB-1K's factors on the learning rate. */
export function checkVtabFactors(golden: GoldenCase): void {
  const runs = golden.json.get("vtab");
  for (const index of runs.keys()) {
    const entry = runs.get(index);
    const total = entry.get("total_updates").number();
    const stored = entry.get("factors");
    const expected = stored.numbers();
    const actual = expected.map((_, update) => vtabLearningRateFactor(update, total));
    golden.add(stored.path, actual, expected, bounds.vtab);
    golden.addScalar(entry.get("warmup_updates"), actual.indexOf(1) + 1, goldenBounds.exact);
  }
}
