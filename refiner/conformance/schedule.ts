import { VisionTransformer, vitConfig } from "../../models/index.ts";
import { layerDecayFactor, learningRateAt, peakLearningRate } from "../training/schedule.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** Learning rates of every update and layer-wise factors of every parameter. */
export const scheduleCase: GoldenCheck = {
  run: checkSchedule,
  inputs: {
    keys: /^(learning_rate\.\d+\.(base_lr|batch_size|epochs|updates_per_epoch|warmup_epochs|end_lr)|layerwise_decay\.\d+\.(depth|decay|encoder))$/,
  },
};

async function checkSchedule(golden: GoldenCase): Promise<void> {
  const rates = golden.json.get("learning_rate");
  for (const index of rates.keys()) {
    const entry = rates.get(index);
    const number = (key: string): number => entry.get(key).number();
    const peak = peakLearningRate(number("base_lr"), number("batch_size"));
    golden.addScalar(entry.get("peak_lr"), peak, goldenBounds.forward);
    const schedule = {
      peak,
      warmupUpdates: number("warmup_epochs") * number("updates_per_epoch"),
      totalUpdates: number("epochs") * number("updates_per_epoch"),
      end: number("end_lr"),
    };
    const expected = entry.get("learning_rates");
    const values = expected.numbers();
    golden.add(
      expected.path,
      values.map((_, update) => learningRateAt(schedule, update)),
      values,
      goldenBounds.forward,
    );
  }
  const decays = golden.json.get("layerwise_decay");
  for (const index of decays.keys()) {
    const entry = decays.get(index);
    const blocks = entry.get("depth").number();
    const decay = entry.get("decay").number();
    const kind = entry.get("encoder").text() === "postnorm" ? "postnorm" : "prenorm";
    // Of the least width: only the names of its parameters matter.
    const model = new VisionTransformer(
      golden.device,
      vitConfig({ kind, blocks, patchPixels: 16, width: 4, heads: 1 }),
    );
    for (const name of entry.get("scale").keys()) {
      // Positions are no parameter of the model but a fixed table; the published code names their factor all the same.
      const depth = name === "pos_embed.embed" ? 0 : model.depthOf(name);
      golden.addScalar(entry.get("scale", name), layerDecayFactor(decay, depth, blocks), goldenBounds.forward);
    }
    model.destroy();
  }
}
