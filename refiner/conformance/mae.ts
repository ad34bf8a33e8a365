import { cast, type Outputs, recordProgram } from "../../engine/index.ts";
import { MaskedAutoencoder, maskedLoss, maskFromNoise, VisionTransformer, vitConfig } from "../../models/index.ts";
import { goldenBounds, modelBounds } from "./bounds.ts";
import type { GoldenCase, GoldenCheck } from "./fixture.ts";

/** Masks, latent, prediction, both losses of both code bases, and all gradients of a masked autoencoder. */
export const maeCase: GoldenCheck = {
  run: checkMae,
  inputs: { tensors: /^(weights\/.+|input|noise)$/, keys: /^(hyper\..+|batch)$/ },
};

async function checkMae(golden: GoldenCase): Promise<void> {
  const model = await loadMae(golden);
  const [batch = 1, patches = 1] = golden.shape("noise");
  golden.json.expect({ batch });
  const ratio = golden.json.get("hyper", "mask_ratio").number();
  const mask = maskFromNoise(await golden.floats("noise"), patches, ratio);
  await checkMask(golden, mask, batch, patches);
  const bounds = modelBounds(golden.precision, model.encoder.config.blocks + model.decoder.blocks);
  const inputs = { input: await golden.floats("input"), ...mask };
  for (const [variant, normalization] of [
    ["raw_pix", "none"],
    ["norm_pix", "unbiased"],
  ] as const) {
    const prefix = `${variant}/grads/`;
    const recorded = recordProgram<Outputs>(golden.device, (p) => {
      const input = p.input("input", golden.shape("input"));
      const tensors = {
        keptRows: p.input("keptRows", [mask.keptRows.length], "u32"),
        keptPositions: p.input("keptPositions", [mask.keptPositions.length], "u32"),
        restoreRows: p.input("restoreRows", [mask.restoreRows.length], "u32"),
        mask: p.input("mask", [batch, patches]),
      };
      const { latent, prediction, target, loss } = model.forward(input, tensors, {
        normalization,
        precision: golden.precision,
      });
      const other = maskedLoss(prediction, target, tensors.mask, normalization === "none" ? "none" : "biased");
      const stored = golden.names(prefix).map((name) => name.slice(prefix.length));
      const gradients = p.gradients(
        loss,
        stored.map((name) => (name === "input" ? input : parameter(model, name))),
      );
      return {
        latent: cast(latent, "f32"),
        prediction,
        target_patches: target,
        loss,
        other,
        ...Object.fromEntries(gradients.map((g, i) => [prefix + stored[i], g])),
      };
    });
    const gradientNames = golden.names(prefix);
    const names = ["latent", "prediction", "target_patches", "loss", "other", ...gradientNames];
    const { keptRows, keptPositions, restoreRows, mask: removed } = inputs;
    const values = await (
      await recorded.run({ input: inputs.input, keptRows, keptPositions, restoreRows, mask: removed }, names)
    ).read();
    if (variant === "raw_pix") {
      for (const name of ["latent", "prediction", "target_patches"])
        await golden.compare(name, values[name] ?? [], bounds.forward);
    }
    for (const name of gradientNames) await golden.compareGradient(name, values[name] ?? [], bounds.gradient);
    golden.addScalar(golden.json.get("scalar", `loss_${variant}`), values.loss?.[0] ?? Number.NaN, bounds.forward);
    golden.addScalar(
      golden.json.get("scalar", `loss_${variant}_refiner_codebase`),
      values.other?.[0] ?? Number.NaN,
      bounds.forward,
    );
    recorded.destroy();
  }
}

function parameter(model: MaskedAutoencoder, name: string) {
  return model.decoderParameters.has(name)
    ? model.decoderParameters.get(name)
    : model.encoder.parameters.get(encoderName(name));
}

/** Facebook's MAE stores the class token under another name. */
function encoderName(name: string): string {
  return name === "cls_token" ? "cls_tokens.tokens" : name;
}

async function loadMae(golden: GoldenCase): Promise<MaskedAutoencoder> {
  const hyper = golden.json.get("hyper");
  hyper.expect({ norm_pix_eps: 1e-6, qkv_bias: true, gelu: "erf" });
  const number = (key: string): number => hyper.get(key).number();
  const config = vitConfig({
    patchPixels: number("patch_size"),
    width: number("embed_dim"),
    blocks: number("depth"),
    heads: number("num_heads"),
    mlpWidth: Math.trunc(number("embed_dim") * number("mlp_ratio")),
    channels: number("in_chans"),
    heightPixels: number("img_size"),
    widthPixels: number("img_size"),
    epsilon: number("layer_norm_eps"),
  });
  const encoder = new VisionTransformer(golden.device, config);
  const model = new MaskedAutoencoder(encoder, {
    width: number("decoder_embed_dim"),
    blocks: number("decoder_depth"),
    heads: number("decoder_num_heads"),
    mlpWidth: Math.trunc(number("decoder_embed_dim") * number("mlp_ratio")),
  });
  for (const stored of golden.names("weights/")) {
    const name = stored.slice("weights/".length);
    const values = await golden.floats(stored);
    if (name === "pos_embed") golden.device.write(encoder.positions, values.slice(config.width));
    else if (name === "decoder_pos_embed")
      golden.device.write(model.decoderPositions, values.slice(model.decoder.width));
    else golden.device.write(parameter(model, name), values);
  }
  return model;
}

async function checkMask(
  golden: GoldenCase,
  mask: ReturnType<typeof maskFromNoise>,
  batch: number,
  patches: number,
): Promise<void> {
  const shuffle = await golden.integers("ids_shuffle");
  const order: number[] = [];
  const restore: number[] = new Array(batch * patches).fill(0);
  const noise = await golden.floats("noise");
  for (let b = 0; b < batch; b++) {
    const kept = Array.from(mask.keptPositions.slice(b * mask.kept, (b + 1) * mask.kept));
    const removed = Array.from({ length: patches }, (_, i) => i)
      .filter((i) => mask.mask[b * patches + i] === 1)
      .sort((i, j) => (noise[b * patches + i] ?? 0) - (noise[b * patches + j] ?? 0));
    const ranked = [...kept, ...removed];
    order.push(...ranked);
    for (const [rank, patch] of ranked.entries()) restore[b * patches + patch] = rank;
    // Of the kept patches, the decoder's row tells their rank: after the class token of each image.
    for (const patch of kept)
      restore[b * patches + patch] = (mask.restoreRows[b * patches + patch] ?? 0) - b * (mask.kept + 1) - 1;
  }
  golden.add("ids_shuffle", order, shuffle, goldenBounds.exact);
  await golden.compare("ids_restore", restore, goldenBounds.exact);
  await golden.compare("mask", mask.mask, goldenBounds.exact);
  golden.addScalar(golden.json.get("num_patches"), mask.mask.length / batch, goldenBounds.exact);
  golden.addScalar(golden.json.get("num_kept"), mask.kept, goldenBounds.exact);
}
