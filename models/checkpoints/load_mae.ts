import type { Checkpoint } from "../../engine/files/index.ts";
import { type Device, OptionError } from "../../engine/index.ts";
import { MaskedAutoencoder, maeDecoderParameters } from "../mae.ts";
import { splitFlatPositions } from "../positions.ts";
import { IncompleteWeightsError } from "./errors.ts";
import { loadEncoder, Uploader } from "./load_encoder.ts";
import type { EncoderOptions } from "./open_encoder.ts";
import { type LoadReport, some } from "./report.ts";
import { findStateDict, pathOf } from "./state_dict.ts";
import { decoderHeadsKey } from "./write_mae.ts";

export interface MaeOptions extends EncoderOptions {
  /** Attention heads of the decoder; the published decoders have width 512 and 16 heads. */
  readonly decoderHeads?: number;
}

/** Width and heads of the decoder of the published MAE models (`models_mae.py`). */
const publishedDecoder = { width: 512, heads: 16 } as const;

/**
 * Loads a masked autoencoder, encoder and decoder, from a checkpoint in the layout of Facebook's MAE.
 *
 * @throws IncompleteWeightsError if the file holds no decoder, or only a part of it; and what {@link loadEncoder} throws
 */
export async function loadMae(
  device: Device,
  checkpoint: Checkpoint,
  options: MaeOptions = {},
  file = "checkpoint",
): Promise<{ model: MaskedAutoencoder; report: LoadReport }> {
  const dict = findStateDict(checkpoint, options.place);
  const [width] = dict.tensors.get("decoder_embed.weight")?.shape ?? [];
  if (width === undefined) {
    throw new IncompleteWeightsError(
      `${file}: the file holds no decoder (decoder_embed.weight); give the full pre-training checkpoint of an MAE`,
      ["decoder_embed.weight"],
      [],
    );
  }
  const heads =
    options.decoderHeads ??
    storedHeads(checkpoint) ??
    (width === publishedDecoder.width ? publishedDecoder.heads : undefined);
  if (heads === undefined) {
    throw new OptionError(`${file}: nothing tells the heads of the decoder of width ${width}; give decoderHeads`);
  }
  const { model: encoder, report } = await loadEncoder(device, checkpoint, options, file);
  const blocks = new Set([...dict.tensors.keys()].flatMap((name) => /^decoder_blocks\.(\d+)\./.exec(name)?.[1] ?? []))
    .size;
  const [mlpWidth] = dict.tensors.get("decoder_blocks.0.mlp.fc1.weight")?.shape ?? [];
  const decoder = { width, blocks, heads, ...(mlpWidth === undefined ? {} : { mlpWidth }) };
  const model = new MaskedAutoencoder(encoder, decoder);
  const entries = maeDecoderParameters(encoder.config, decoder);
  const names = [...entries.map(({ name }) => name), "decoder_pos_embed"];
  const missing = names.filter((name) => !dict.tensors.has(name));
  if (missing.length > 0) {
    throw new IncompleteWeightsError(
      `${file}: the decoder lacks ${some(missing)}; give the whole checkpoint`,
      missing,
      [],
    );
  }
  const uploader = new Uploader(device);
  const used: string[] = [];
  for (const { name } of entries) {
    await uploader.write(model.decoderParameters.get(name), await checkpoint.readAsF32(pathOf(dict, name)));
    used.push(pathOf(dict, name));
  }
  const path = pathOf(dict, "decoder_pos_embed");
  const tokens = dict.tensors.get("decoder_pos_embed")?.shape.at(-2) ?? 0;
  const { grid } = splitFlatPositions(await checkpoint.readAsF32(path), tokens, width, encoder.config.classTokens);
  await uploader.write(model.decoderPositions, grid);
  used.push(path);
  return { model, report: withDecoder(report, used) };
}

/** Attention heads of the decoder, where the file was written by this package. */
function storedHeads(checkpoint: Checkpoint): number | undefined {
  const heads = Number(checkpoint.metadata.get(decoderHeadsKey));
  return Number.isInteger(heads) && heads > 0 ? heads : undefined;
}

/** The encoder's report with the decoder's tensors counted as matched. */
function withDecoder(report: LoadReport, used: readonly string[]): LoadReport {
  const isUsed = new Set(used);
  const dropped = report.dropped
    .map(({ names, reason }) => ({ reason, names: names.filter((name) => !isUsed.has(name)) }))
    .filter(({ names }) => names.length > 0);
  const matched = used.map((path) => ({ target: path.slice(report.place.length), sources: [path] }));
  return { ...report, dropped, matched: [...report.matched, ...matched] };
}
