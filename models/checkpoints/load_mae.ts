import type { Checkpoint } from "../../engine/files/index.ts";
import { type Device, OptionError } from "../../engine/index.ts";
import { type MaeDecoderConfig, MaskedAutoencoder, maeDecoderParameters } from "../mae.ts";
import { IncompleteWeightsError } from "./errors.ts";
import { loadEncoder, Uploader } from "./load_encoder.ts";
import { type LoadReport, some, withDecoder } from "./load_report.ts";
import type { EncoderOptions } from "./open_encoder.ts";
import { decoderHeadsKey } from "./own_config.ts";
import { findStateDict, type StateDict } from "./state_dict.ts";

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
  const dict = findStateDict(checkpoint, options.place, file);
  const decoder = decoderConfig(checkpoint, dict, options, file);
  if (!decoder) throw noDecoder(file, "give the full pre-training checkpoint of an MAE");
  const { model: encoder, report } = await loadEncoder(device, checkpoint, options, file);
  let model: MaskedAutoencoder | undefined;
  try {
    model = new MaskedAutoencoder(encoder, decoder);
    const used = await loadDecoder(model, checkpoint, dict, file);
    return { model, report: withDecoder(report, used) };
  } catch (error) {
    model?.destroyDecoder();
    encoder.destroy();
    throw error;
  }
}

/**
 * Sizes of the decoder of a masked autoencoder in a file; undefined for a file without one.
 *
 * @throws OptionError where nothing tells its heads; IncompleteWeightsError for a part of a decoder
 */
export function maeDecoderConfig(
  checkpoint: Checkpoint,
  options: MaeOptions = {},
  file = "checkpoint",
): MaeDecoderConfig | undefined {
  return decoderConfig(checkpoint, findStateDict(checkpoint, options.place, file), options, file);
}

function decoderConfig(
  checkpoint: Checkpoint,
  { tensors }: StateDict,
  options: MaeOptions,
  file: string,
): MaeDecoderConfig | undefined {
  const [width] = tensors.get("decoder_embed.weight")?.shape ?? [];
  if (width === undefined) {
    if (![...tensors.keys()].some((name) => name.startsWith("decoder_"))) return undefined;
    throw noDecoder(file, "give the whole checkpoint of an MAE, or drop the rest of its decoder (mimrefine convert)");
  }
  const heads =
    options.decoderHeads ??
    storedHeads(checkpoint) ??
    (width === publishedDecoder.width ? publishedDecoder.heads : undefined);
  if (heads === undefined) {
    throw new OptionError(
      `${file}: nothing tells the heads of the decoder of width ${width}; give them (--decoder-heads)`,
    );
  }
  const blocks = new Set([...tensors.keys()].flatMap((name) => /^decoder_blocks\.(\d+)\./.exec(name)?.[1] ?? [])).size;
  const [mlpWidth] = tensors.get("decoder_blocks.0.mlp.fc1.weight")?.shape ?? [];
  return { width, blocks, heads, ...(mlpWidth === undefined ? {} : { mlpWidth }) };
}

function noDecoder(file: string, remedy: string): IncompleteWeightsError {
  const name = "decoder_embed.weight";
  return new IncompleteWeightsError(`${file}: the file holds no decoder (${name}); ${remedy}`, [name], []);
}

/** Names in the file of what was loaded. @throws IncompleteWeightsError */
async function loadDecoder(
  model: MaskedAutoencoder,
  checkpoint: Checkpoint,
  dict: StateDict,
  file: string,
): Promise<string[]> {
  const { encoder, decoderParameters, decoderPositions } = model;
  const targets = new Map([
    ...maeDecoderParameters(encoder.config, model.decoder).map(
      ({ name }) => [name, decoderParameters.get(name)] as const,
    ),
    ["decoder_pos_embed", decoderPositions],
  ]);
  const missing = [...targets.keys()].filter((name) => !dict.tensors.has(name));
  if (missing.length > 0)
    throw new IncompleteWeightsError(
      `${file}: the decoder lacks ${some(missing)}; give the whole checkpoint`,
      missing,
      [],
    );
  const classRows = encoder.config.classTokens * model.decoder.width;
  const uploader = new Uploader(encoder.device);
  for (const [name, target] of targets) {
    const values = await checkpoint.readAsF32(dict.tensors.get(name)?.path ?? name);
    const spare = values.length - target.size;
    if (spare !== 0 && (target !== decoderPositions || spare !== classRows))
      throw new IncompleteWeightsError(
        `${file}: ${name} is [${dict.tensors.get(name)?.shape}], expected [${target.shape}]; the file is damaged or of another architecture`,
        [],
        [],
      );
    await uploader.write(target, spare === 0 ? values : values.slice(spare));
  }
  return [...targets.keys()].map((name) => dict.tensors.get(name)?.path ?? name);
}

/** Attention heads of the decoder, where the file was written by this package. */
function storedHeads(checkpoint: Checkpoint): number | undefined {
  const heads = Number(checkpoint.metadata.get(decoderHeadsKey));
  return Number.isInteger(heads) && heads > 0 ? heads : undefined;
}
