import {
  type Device,
  hostUniform,
  OptionError,
  type Program,
  patchify,
  recordProgram,
  type Tensor,
} from "../../engine/index.ts";
import {
  gridOf,
  MaskedAutoencoder,
  maskedLoss,
  maskFromNoise,
  type PixelNormalization,
  VisionTransformer,
} from "../../models/index.ts";
import { orderedBatches, type ReadOptions } from "../data/batches/batches.ts";
import type { ImageSource } from "../data/image_source.ts";
import { subset } from "../data/sources/derived_sources.ts";
import { EvaluationError } from "./core/errors.ts";
import { EvaluationInputs } from "./features/evaluation_inputs.ts";
import { fittingBatch } from "./features/fitting_batch.ts";
import { matchChannels } from "./features/match_channels.ts";

export interface ReconstructionOptions extends Pick<ReadOptions, "maxBad" | "onBroken" | "signal"> {
  /** Images used, from the first on; default 256. */
  readonly images?: number;
  /** Images per run, fewer where the device's limits ask for it; default 32. Which patches are removed depends on it. */
  readonly batch?: number;
  /** Share of patches that is removed; default 0.75, as in MAE. */
  readonly maskRatio?: number;
  readonly normalization?: PixelNormalization;
  /** Seed of the masks. */
  readonly seed?: number;
  /** Mean and deviation per channel of the pixels; default ImageNet's. */
  readonly mean?: readonly number[];
  readonly deviation?: readonly number[];
}

/**
 * Mean reconstruction loss per block, first to last: the decoder reads the output of that block, through the encoder's last norm
 * (arXiv 2402.10093, figure 2: where it begins to fall, blocks turn into a part of the decoder). Masks are the same for all blocks.
 *
 * @returns one loss per block; the last one is the autoencoder's own
 * @throws EvaluationError if a loss is not finite
 */
export async function reconstructionOfBlocks(
  device: Device,
  model: MaskedAutoencoder,
  source: ImageSource,
  options: ReconstructionOptions = {},
): Promise<number[]> {
  const { images = 256, maskRatio = 0.75, normalization = "unbiased", seed = 0 } = options;
  const { config, parameters, positions } = model.encoder;
  const used = Math.min(images, source.length);
  if (used < 1) throw new OptionError("reconstruction: no images; give at least one");
  const [rows, columns] = gridOf(config, config.heightPixels, config.widthPixels);
  const patches = rows * columns;
  const kept = Math.floor(patches * (1 - maskRatio));
  const lossOf = (p: Program, pixels: Tensor, encoder: MaskedAutoencoder): { loss: Tensor } => {
    const count = pixels.shape[0] ?? 1;
    const mask = {
      keptRows: p.input("keptRows", [count * kept], "u32"),
      keptPositions: p.input("keptPositions", [count * kept], "u32"),
      restoreRows: p.input("restoreRows", [count * patches], "u32"),
      mask: p.input("mask", [count, patches]),
    };
    const prediction = model.decode(encoder.encode(pixels, mask), mask, count);
    const target = patchify(pixels, { patchPixels: config.patchPixels, order: "row-column-channel" });
    return { loss: maskedLoss(prediction, target, mask.mask, normalization) };
  };
  const { channels, heightPixels, widthPixels } = config;
  const batch = fittingBatch(device, Math.min(options.batch ?? 32, used), (p, count) =>
    lossOf(p, p.input("images", [count, channels, heightPixels, widthPixels]), model),
  );
  const first = matchChannels(
    subset(
      source,
      Uint32Array.from({ length: used }, (_, i) => i),
    ),
    config.channels === 1 ? 1 : 3,
  );
  const inputs = new EvaluationInputs(device, config, batch, options);
  const losses: number[] = [];
  for (let block = 0; block < config.blocks; block++) {
    // The same parameters, cut off behind this block; its unused decoder is never allocated.
    const cut = new VisionTransformer(device, { ...config, blocks: block + 1 }, parameters, positions);
    const encoder = new MaskedAutoencoder(cut, model.decoder);
    const record = () =>
      recordProgram(device, (p) => lossOf(p, inputs.record(p), encoder), {
        name: `reconstruction from block ${block}`,
        inference: true,
      });
    let program: ReturnType<typeof record> | undefined;
    let sum = 0;
    let count = 0;
    const { maxBad, onBroken, signal } = options;
    for await (const next of orderedBatches(first, {
      batchSize: batch,
      ...inputs.decodingForWholeBatch,
      maxBad,
      onBroken,
      signal,
    })) {
      if (next.images.length === 0) continue;
      if (inputs.grow(next.images)) {
        program?.destroy();
        program = undefined;
      }
      program ??= record();
      const noise = hostUniform(batch * patches, { seed, purpose: `reconstruction ${next.number}` });
      const { keptRows, keptPositions, restoreRows, mask } = maskFromNoise(
        noise,
        patches,
        maskRatio,
        config.classTokens,
      );
      // Places of a short batch that no image takes do not count.
      mask.fill(0, next.images.length * patches);
      const values = { ...inputs.values(next.images), keptRows, keptPositions, restoreRows, mask };
      const { loss } = await (await program.run(values, ["loss"])).read();
      sum += (loss?.[0] ?? Number.NaN) * next.images.length;
      count += next.images.length;
    }
    program?.destroy();
    const loss = sum / count;
    if (!Number.isFinite(loss))
      throw new EvaluationError(
        `reconstruction: the loss behind block ${block} is ${loss}, not a finite number, over ${count} images; the weights are damaged or have diverged, all images are broken, or patches of one value have no unbiased variance (normalization)`,
      );
    losses.push(loss);
  }
  return losses;
}
