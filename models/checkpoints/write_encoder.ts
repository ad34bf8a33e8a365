import {
  type ByteSink,
  convertTensor,
  hostTensor,
  type PyTorchValue,
  TensorItem,
  writePyTorch,
  writeSafetensors,
} from "../../engine/files/index.ts";
import { OptionError } from "../../engine/index.ts";
import type { VisionTransformer } from "../vit.ts";
import { defaultEpsilon, headsOfWidth, type StoredConfig } from "./encoder_config.ts";
import { positionsName } from "./expected_parameters.ts";
import { configKey } from "./own_config.ts";

/** Whose parameter names a written file uses. */
export type NameStyle = "authors" | "timm" | "mae";

export const nameStyles: readonly NameStyle[] = ["authors", "timm", "mae"];

/** Element types that weights can be written in. */
export type WeightDType = "f32" | "f16" | "bf16";

export const weightDTypes: readonly WeightDType[] = ["f32", "f16", "bf16"];

/** Containers that weights can be written to; `pth` is what torch.load(weights_only=True) reads. */
export type WeightFormat = "safetensors" | "pth";

export const weightFormats: readonly WeightFormat[] = ["safetensors", "pth"];

/** Parameters of an encoder, wherever they are. */
export interface ReadableParameter {
  readonly shape: readonly number[];
  read(): Promise<Float32Array>;
}

/** An encoder to be written, under the authors' names with `pos_embed.embed` among them. */
export interface EncoderContent {
  readonly config: StoredConfig;
  readonly parameters: ReadonlyMap<string, ReadableParameter>;
}

export interface WriteOptions {
  readonly names?: NameStyle;
  readonly dtype?: WeightDType;
  readonly format?: WeightFormat;
  /** Written into the metadata of safetensors files: what the weights were made from, and how. */
  readonly source?: string;
  readonly method?: string;
  /** Further metadata of safetensors files. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * What a file of that form does not tell of an encoder, as the options that it takes to read it again: safetensors hold the
 * config, PyTorch files only what their readers expect.
 */
export function untoldOptions(
  config: StoredConfig,
  { names = "authors", format = "safetensors" }: WriteOptions,
): string[] {
  if (format === "safetensors") return [];
  const { heads, width, epsilon, heightPixels, widthPixels, layerScale } = config;
  return [
    ...(names !== "authors" && heads !== undefined && heads !== headsOfWidth(width)
      ? [`--attention-heads ${heads}`]
      : []),
    ...(names !== "authors" && heightPixels !== widthPixels ? [`--resolution ${heightPixels}x${widthPixels}`] : []),
    ...(epsilon !== defaultEpsilon ? [`--epsilon ${epsilon}`] : []),
    ...(layerScale === "parameters" ? ["--layer-scale keep"] : []),
  ];
}

/** The content of a model on a device; each parameter is copied to the host when its turn comes. */
export function encoderContent(model: VisionTransformer): EncoderContent {
  const tensors = [...model.parameters.tensors, [positionsName, model.positions] as const];
  return {
    config: model.config,
    parameters: new Map(
      tensors.map(([name, tensor]) => [
        name,
        { shape: tensor.shape, read: async () => Float32Array.from(await tensor.read()) },
      ]),
    ),
  };
}

/**
 * Writes an encoder, one parameter in memory at a time. Safetensors carry the config, so that nothing has to be guessed
 * when they are loaded.
 *
 * @throws OptionError for an encoder under names that have no such model, and for a value that overflows `dtype`
 */
export async function writeEncoder(sink: ByteSink, content: EncoderContent, options: WriteOptions = {}): Promise<void> {
  const { names = "authors", dtype = "f32", format = "safetensors" } = options;
  const { config } = content;
  refuseLayerScale(config, names, format);
  const parameters = names === "authors" ? content.parameters : flatNames(content, names);
  const items = new Map([...parameters].map(([name, parameter]) => [name, itemOf(name, parameter, dtype)]));
  if (format === "pth") return writePyTorch(sink, pytorchContent(items, config, names), "archive");
  const { source, method } = options;
  return writeSafetensors(sink, items, {
    format: "pt", // what other readers ask for
    [configKey]: JSON.stringify(config),
    "mimrefine.names": names,
    ...(source === undefined ? {} : { "mimrefine.source": source }),
    ...(method === undefined ? {} : { "mimrefine.method": method }),
    ...options.metadata,
  });
}

/** Writes the encoder of a model on a device; see {@link writeEncoder}. */
export function saveEncoder(sink: ByteSink, model: VisionTransformer, options: WriteOptions = {}): Promise<void> {
  return writeEncoder(sink, encoderContent(model), options);
}

function itemOf(name: string, parameter: ReadableParameter, dtype: WeightDType): TensorItem {
  return new TensorItem(dtype, parameter.shape, async () => {
    const values = await parameter.read();
    if (dtype !== "f32") refuseOverflow(name, values, dtype);
    return convertTensor(hostTensor("f32", parameter.shape, values), dtype);
  });
}

/** Names of timm have LayerScale; models of Facebook's MAE and of the authors' hub cannot take it. */
function refuseLayerScale({ layerScale }: StoredConfig, names: NameStyle, format: WeightFormat): void {
  if (layerScale === "none" || names === "timm" || (names === "authors" && format === "safetensors")) return;
  throw new OptionError(
    `convert: names ${names} as ${format} have no form for LayerScale (ls1.gamma); use --names timm, or fold it into other layers (--layer-scale fold)`,
  );
}

/** From here on infinity is the nearest: half a step beyond the largest number of the type. */
const overflows = { f16: 65520, bf16: (2 - 2 ** -8) * 2 ** 127 } as const;

function refuseOverflow(name: string, values: Float32Array, dtype: "f16" | "bf16"): void {
  const beyond = values.find((value) => Number.isFinite(value) && Math.abs(value) >= overflows[dtype]);
  if (beyond === undefined) return;
  throw new OptionError(
    `convert: ${name} holds ${beyond}, which ${dtype} cannot hold (it would become infinite); use ${dtype === "f16" ? "bf16 or f32" : "f32"}`,
  );
}

/** Flat positions with a zero row for the class token, as timm and Facebook's MAE have them. */
function flatNames({ config, parameters }: EncoderContent, names: NameStyle): Map<string, ReadableParameter> {
  if (config.kind === "postnorm" || config.classTokens > 1) {
    throw new OptionError(
      `convert: names ${names} have no form for ${config.kind === "postnorm" ? "post-norm encoders" : `${config.classTokens} class tokens`}; use --names authors`,
    );
  }
  const flat = new Map<string, ReadableParameter>();
  for (const [name, parameter] of parameters) {
    if (name === "cls_tokens.tokens") flat.set("cls_token", parameter);
    else if (name === positionsName) flat.set("pos_embed", flatPositions(parameter, config));
    else flat.set(name, parameter);
  }
  return flat;
}

function flatPositions(parameter: ReadableParameter, { classTokens, width }: StoredConfig): ReadableParameter {
  const [, rows = 0, columns = 0] = parameter.shape;
  return {
    shape: [1, classTokens + rows * columns, width],
    async read() {
      const values = new Float32Array((classTokens + rows * columns) * width);
      values.set(await parameter.read(), classTokens * width);
      return values;
    },
  };
}

/** What each family's loaders expect to find: the authors' under `state_dict`, MAE's under `model`, timm's at the top. */
function pytorchContent(items: ReadonlyMap<string, TensorItem>, config: StoredConfig, names: NameStyle): PyTorchValue {
  if (names === "timm") return items;
  if (names === "mae") return { model: items };
  const { patchPixels, width, blocks, heads, mlpWidth, classTokens, channels, heightPixels, widthPixels } = config;
  return {
    state_dict: items,
    ctor_kwargs: {
      kind: config.kind === "postnorm" ? "vit.data2vec2_vit" : "vit.vit",
      patch_size: patchPixels,
      dim: width,
      depth: blocks,
      ...(heads === undefined ? {} : { num_heads: heads }),
      mlp_hidden_dim: mlpWidth,
      num_cls_tokens: classTokens,
      input_shape: [channels, heightPixels, widthPixels],
      // Without the epsilon: torch 1.13 reads no floats with weights_only=True. See untoldOptions.
    },
  };
}
