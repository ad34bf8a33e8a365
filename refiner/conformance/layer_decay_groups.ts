import { Classifier, vitConfig } from "../../models/index.ts";
import { finetuneGroups } from "../methods/finetune/parameter_groups.ts";
import { ArenaOptimizer } from "../training/optimizer.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

/** Factor on the learning rate and weight decay of every parameter, of fine-tuning and of VTAB-1K's. */
export const layerDecayGroupsCase: GoldenCheck = {
  run: checkGroups,
  inputs: { keys: /\.(depth|decay|kind|base_weight_decay)$/, remarks: /\.shape$/ },
};

/** README of the fixtures: factors. */
const factorBound = 1e-12;

async function checkGroups(golden: GoldenCase): Promise<void> {
  for (const [key, protocol] of [
    ["fine_tuning", "fine-tuning"],
    ["vtab", "vtab"],
  ] as const) {
    const models = golden.json.get(key);
    for (const index of models.keys()) checkModel(golden, models.get(index), protocol);
  }
}

function checkModel(golden: GoldenCase, entry: Json, protocol: "fine-tuning" | "vtab"): void {
  const blocks = entry.get("depth").number();
  const kind = entry.get("kind").text() === "postnorm" ? "postnorm" : "prenorm";
  // Of the least width: only names and numbers of axes matter.
  const vit = vitConfig({ kind, blocks, patchPixels: 4, width: 4, heads: 1, heightPixels: 16, widthPixels: 16 });
  const headNorm = protocol === "fine-tuning";
  const description = {
    classNames: ["a", "b"],
    pooling: "cls",
    pixels: 16,
    mean: [0],
    deviation: [1],
    headNorm,
  } as const;
  const model = new Classifier(golden.device, vit, description);
  const options = {
    layerDecay: entry.get("decay").number(),
    weightDecay: entry.get("base_weight_decay").number(),
    frozenShare: 0,
    protocol,
  };
  const optimizer = new ArenaOptimizer(model.parameters, finetuneGroups(model, options));
  for (const stored of entry.get("params").keys()) {
    const group = optimizer.groups.get(stored.replace(/^model\./, ""));
    golden.addScalar(entry.get("params", stored, "lr_scale"), group?.learningRateScale ?? Number.NaN, factorBound);
    golden.addScalar(entry.get("params", stored, "weight_decay"), group?.weightDecay ?? Number.NaN, 0);
  }
  const buffers = entry.get("buffers");
  if (buffers.exists) {
    const frozen = buffers
      .texts()
      .filter((name) => optimizer.groups.get(name.replace(/^model\./, ""))?.learningRateScale === 0);
    golden.addError(buffers.path, frozen.length === buffers.texts().length ? 0 : 1, 0);
  }
  optimizer.destroy();
  model.destroy();
}
