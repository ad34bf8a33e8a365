import { type Outputs, recordProgram } from "../../engine/index.ts";
import { mixImages, softTargets } from "../data/augmentation/mix_batch.ts";
import {
  cutmixHalves,
  cutmixOf,
  type Mixing,
  mixingLength,
  mixingValues,
  mixupOf,
  noMixing,
} from "../data/augmentation/mixing.ts";
import { addAbsolute, compareAbsolute } from "./absolute.ts";
import { goldenBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import type { Json } from "./json.ts";

/** Images, targets, boxes and λ of mixed batches. */
export const mixupCase: GoldenCheck = {
  run: checkMixup,
  inputs: {
    tensors: /^case\.\d+\/(images|labels)$/,
    keys: /^(batch_size|num_classes|label_smoothing|mixup_alpha|cutmix_alpha|mixup_p|cutmix_p|cases\.\d+\.(name|choice_draw|drawn_lambda|center_row|center_column))$/,
    remarks: /^(partner|cases\.\d+\.apply_draw)$/,
  },
};

/** README of the fixtures: images, targets and λ. */
const bound = 1e-6;

async function checkMixup(golden: GoldenCase): Promise<void> {
  const { json } = golden;
  // One decision for each batch, always made: what drawMixing does where both ways are on.
  json.expect({ mixup_p: 0.5, cutmix_p: 0.5, mixup_alpha: 0.8, cutmix_alpha: 1 });
  const classes = json.get("num_classes").number();
  const labelSmoothing = json.get("label_smoothing").number();
  const off = labelSmoothing / classes;
  golden.addScalar(json.get("smoothed_values", "off"), off, bound);
  golden.addScalar(json.get("smoothed_values", "on"), 1 - labelSmoothing + off, bound);
  const cases = json.get("cases");
  for (const index of cases.keys()) {
    const entry = cases.get(index);
    const name = entry.get("name").text();
    const [images = 1, channels = 1, height = 1, width = 1] = golden.shape(`${name}/images`);
    json.expect({ batch_size: images });
    const mixing = mixingOf(golden, entry, [height, width]);
    const batch = { shape: [images, channels, height, width], classes, labelSmoothing };
    const mixed = await mixedBatch(golden, name, mixing, batch);
    const plain = await mixedBatch(golden, name, noMixing, batch);
    await compareAbsolute(golden, `${name}/mixed_images`, mixed.images, bound);
    await compareAbsolute(golden, `${name}/mixed_targets`, mixed.targets, bound);
    await compareAbsolute(golden, `${name}/smoothed_targets`, plain.targets, bound);
  }
}

/** The decision as its draws ask for it, compared with what is stored of it. */
function mixingOf(golden: GoldenCase, entry: Json, size: readonly [number, number]): Mixing {
  const lambda = entry.get("drawn_lambda").number();
  const cuts = entry.get("choice_draw").number() < 0.5;
  golden.addError(entry.get("mode").path, entry.get("mode").text() === (cuts ? "cutmix" : "mixup") ? 0 : 1, 0);
  if (!cuts) {
    const mixing = mixupOf(lambda);
    addAbsolute(golden, entry.get("lam").path, [mixing.lambda], [entry.get("lam").number()], bound);
    return mixing;
  }
  const [centreRow, centreColumn] = [entry.get("center_row").number(), entry.get("center_column").number()];
  const mixing = cutmixOf({ lambda, centreRow, centreColumn }, size);
  const [halfHeight, halfWidth] = cutmixHalves(lambda, size);
  golden.addScalar(entry.get("half_height"), halfHeight, goldenBounds.exact);
  golden.addScalar(entry.get("half_width"), halfWidth, goldenBounds.exact);
  const box = entry.get("box_top_left_bottom_right");
  golden.add(box.path, mixing.box, box.numbers(), goldenBounds.exact);
  addAbsolute(golden, entry.get("lam").path, [mixing.lambda], [entry.get("lam").number()], bound);
  return mixing;
}

async function mixedBatch(
  golden: GoldenCase,
  name: string,
  mixing: Mixing,
  batch: { readonly shape: readonly number[]; readonly classes: number; readonly labelSmoothing: number },
): Promise<{ readonly images: ArrayLike<number>; readonly targets: ArrayLike<number> }> {
  const { shape, ...targets } = batch;
  const program = recordProgram<Outputs>(
    golden.device,
    (p) => {
      const values = p.input("mixing", [mixingLength]);
      return {
        images: mixImages(p.input("images", shape), values),
        targets: softTargets(p.input("labels", [shape[0] ?? 1], "u32"), values, targets),
      };
    },
    { inference: true },
  );
  const inputs = {
    images: await golden.floats(`${name}/images`),
    labels: Uint32Array.from(await golden.integers(`${name}/labels`)),
    mixing: mixingValues(mixing),
  };
  const read = await (await program.run(inputs, ["images", "targets"])).read();
  program.destroy();
  return { images: read.images ?? [], targets: read.targets ?? [] };
}
