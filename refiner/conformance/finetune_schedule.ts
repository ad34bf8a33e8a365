import { probeRateAt } from "../evaluation/probes/linear_probe_method.ts";
import { peakLearningRate } from "../training/schedule.ts";
import { checkFinetuneRates, checkVtabFactors } from "./finetune/schedules.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** Relative to the peak; both sides are float64. */
const bound = 1e-12;

/** Learning rates of the evaluations that train something. */
export const finetuneScheduleCase: GoldenCheck = {
  run: async (golden) => {
    checkFinetuneRates(golden);
    checkProbeRates(golden);
    checkVtabFactors(golden);
  },
  inputs: {
    keys: /^(fine_tuning|probe_percent|vtab)\.\d+\.(base_lr|batch_size|epochs|updates_per_epoch|warmup_epochs|total_updates|end_lr|warmup_percent)$/,
  },
};

/** Linear probes: a share of the updates as warm-up. */
function checkProbeRates(golden: GoldenCase): void {
  const entries = golden.json.get("probe_percent");
  for (const index of entries.keys()) {
    const entry = entries.get(index);
    entry.expect({ end_lr: 1e-6, warmup_percent: 0.1 });
    const peak = peakLearningRate(entry.get("base_lr").number(), entry.get("batch_size").number());
    golden.addScalar(entry.get("peak_lr"), peak, bound);
    const expected = entry.get("learning_rates");
    const values = expected.numbers();
    const updates = entry.get("total_updates").number();
    golden.add(
      expected.path,
      values.map((_, update) => probeRateAt(peak, updates, update)),
      values,
      bound,
    );
  }
}
