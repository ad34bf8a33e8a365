import { describe, expect, it } from "vitest";
import {
  Checkpoint,
  type CheckpointFormat,
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  openSafetensors,
  type PlainValue,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { OptionError } from "../../../engine/index.ts";
import {
  configKey,
  type EncoderOptions,
  IncompleteWeightsError,
  openEncoder,
  UnknownModelError,
} from "../../../models/checkpoints/index.ts";
import { vitConfig, vitParameters } from "../../../models/index.ts";

const config = vitConfig({ patchPixels: 4, width: 8, blocks: 2, heads: 2, heightPixels: 8, widthPixels: 16 });

type Shapes = Readonly<Record<string, readonly number[]>>;

/** Tensors of that config in the authors' names, and others. */
async function bytesOf(
  extra: Shapes,
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array<ArrayBuffer>> {
  const shapes: Shapes = {
    ...Object.fromEntries(vitParameters(config).map(({ name, shape }) => [name, shape])),
    "pos_embed.embed": [1, 2, 4, 8],
    ...extra,
  };
  const items = Object.entries(shapes).map(([name, shape]) => {
    const values = new Float32Array(shape.reduce((all, length) => all * length, 1)).fill(0.5);
    return [name, TensorItem.of(hostTensor("f32", shape, values))] as const;
  });
  const sink = memorySink();
  await writeSafetensors(sink, new Map(items), metadata);
  return sink.bytes();
}

/** A file of this package whose config has other entries. */
async function own(changes: Readonly<Record<string, unknown>>, extra: Shapes = {}, metadata = {}): Promise<Checkpoint> {
  const json = JSON.stringify({ ...config, ...changes });
  return openCheckpoint(memorySource(await bytesOf(extra, { [configKey]: json, ...metadata }), "own"));
}

/** A file of training code that stores settings beside its tensors. */
async function foreign(plainValues: Readonly<Record<string, PlainValue>>, extra: Shapes = {}): Promise<Checkpoint> {
  const source = memorySource(await bytesOf(extra), "foreign");
  const format: CheckpointFormat = "pytorch-zip";
  const { tensors } = await openSafetensors(source);
  return new Checkpoint(source, { format, tensors, plainValues: new Map(Object.entries(plainValues)) });
}

const gammas: Shapes = Object.fromEntries(
  [0, 1].flatMap((j) => [1, 2].map((branch) => [`blocks.${j}.ls${branch}.gamma`, [8]])),
);

describe("the config in a file of this package", () => {
  it("is taken as it stands", async () => {
    const { config: read } = await openEncoder(await own({ epsilon: 1e-5, heads: 4 }));
    expect(read).toEqual({ ...config, epsilon: 1e-5, heads: 4 });
  });

  it("may lack entries, as files of earlier versions do", async () => {
    const { config: read } = await openEncoder(await own({ layerScale: undefined, heads: undefined }));
    expect(read).toEqual({ ...config, heads: undefined });
  });

  it.each<[string, Record<string, unknown>, Shapes, readonly string[]]>([
    ["a key of a newer version", { rotaryBase: 100 }, {}, ["rotaryBase 100 is unknown", "which knows", "update"]],
    [
      "a word of a newer version",
      { kind: "parallel" },
      {},
      ['kind "parallel" is unknown', "prenorm, postnorm", "update"],
    ],
    ["another width", { width: 16 }, {}, ["width is 16", "has width 8", "correct the entry"]],
    ["another number of blocks", { blocks: 3 }, {}, ["blocks is 3", "has blocks 2"]],
    ["another kind", { kind: "postnorm" }, {}, ['kind is "postnorm"', 'has kind "prenorm"']],
    ["another resolution", { heightPixels: 16 }, {}, ["heightPixels is 16", "has heightPixels 8"]],
    ["another number of class tokens", { classTokens: 2 }, {}, ["classTokens is 2", "has classTokens 1"]],
    ["LayerScale without its tensors", { layerScale: "parameters" }, {}, ['layerScale is "parameters"', '"none"']],
    ["tensors of LayerScale that it denies", {}, gammas, ['layerScale is "none"', '"parameters"']],
    ["a number in words", { heads: "two" }, {}, ['heads "two" is not a number', "correct the entry"]],
  ])("is refused where it says what the model is not: %s", async (_, changes, extra, texts) => {
    const opened = openEncoder(await own(changes, extra), {}, "mine.safetensors");
    await expect(opened).rejects.toThrow(/^mine\.safetensors: /);
    for (const text of [configKey, ...texts]) await expect(opened).rejects.toThrow(text);
  });

  it("is refused where it is no object", async () => {
    for (const json of ["[]", "{", "3"]) {
      const file = await openCheckpoint(memorySource(await bytesOf({}, { [configKey]: json }), "own"));
      const opened = openEncoder(file, {}, "mine.safetensors");
      await expect(opened).rejects.toThrow(OptionError);
      await expect(opened).rejects.toThrow("is not a JSON object");
    }
  });

  it("is refused beside metadata of a newer version", async () => {
    const file = await own({}, {}, { "mimrefine.adapter": "lora" });
    await expect(openEncoder(file)).rejects.toThrow(/metadata key mimrefine\.adapter is unknown .* update the package/);
  });

  it("is read without what is left out knowingly, and the report says so", async () => {
    const { report } = await openEncoder(await own({ rotaryBase: 100 }), { allowLeftOver: true });
    expect(report.warnings).toEqual([expect.stringContaining("rotaryBase 100 is unknown")]);
  });

  it("gives way to a resolution that is asked for only where positions have that grid", async () => {
    const flat = { "pos_embed.embed": [1, 8, 8] };
    const { config: read } = await openEncoder(await own({}, flat), { resolution: [16, 8] });
    expect([read.heightPixels, read.widthPixels]).toEqual([16, 8]);
    await expect(openEncoder(await own({}), { resolution: [16, 8] })).rejects.toThrow("a grid of 2 x 4 patches");
  });
});

describe("settings that training code stores beside its tensors", () => {
  it.each<[string, PlainValue, string]>([
    ["model_args/act_layer", "quick_gelu", "knows only gelu"],
    ["config/hidden_act", "gelu_new", "knows only gelu"],
    ["args/qk_norm", true, "without norms"],
    ["args/rel_pos_bias", true, "added to the patches"],
    ["model_kwargs/use_rope", true, "added to the patches"],
    ["args/ffn_layer", "swiglufused", "two linear layers"],
    ["config/use_swiglu_ffn", true, "two linear layers"],
    ["args/layer_scale_init_value", 0.1, "of which it has none"],
    ["model_args/init_values", 1e-5, "of which it has none"],
    ["model_args/qk_scale", 0.1, "root of the head's width"],
    ["hyper_parameters/model/norm_layer", "timm.layers.RmsNorm", "LayerNorm"],
  ])("are refused where the model cannot do it: %s = %j", async (path, value, known) => {
    const opened = openEncoder(await foreign({ [path]: value }), {}, "mine.pth");
    await expect(opened).rejects.toThrow(UnknownModelError);
    await expect(opened).rejects.toThrow(`mine.pth: ${path} is ${JSON.stringify(value)}, but`);
    await expect(opened).rejects.toThrow(known);
    await expect(opened).rejects.toThrow("--allow-left-over");
    const { report } = await openEncoder(await foreign({ [path]: value }), { allowLeftOver: true });
    expect(report.warnings).toEqual([expect.stringContaining(path)]);
  });

  it.each<[string, PlainValue]>([
    ["model_args/act_layer", "torch.nn.modules.activation.GELU"],
    ["config/hidden_act", "gelu"],
    ["args/qk_norm", false],
    ["args/rel_pos_bias", false],
    ["args/layer_scale_init_value", 0],
    ["model_args/init_values", null],
    ["args/drop_path", 0.1],
    ["args/decoder/act_layer", "relu"],
    ["cfg/model/modalities/audio/use_alibi_encoder", true],
    ["optimizer/activation", "relu"],
  ])("are no matter where they are off, or about something else: %s = %j", async (path, value) => {
    const { report } = await openEncoder(await foreign({ [path]: value }));
    expect(report.warnings).toEqual([]);
  });

  it("may ask for LayerScale where the file has its factors", async () => {
    const file = await foreign({ "args/init_values": 1e-5 }, gammas);
    expect((await openEncoder(file, { layerScale: "keep" })).config.layerScale).toBe("parameters");
  });

  it.each(["ctor_kwargs/num_heads", "model_args/num_heads", "config/num_attention_heads", "cfg/model/num_heads"])(
    "tell the heads: %s",
    async (path) => {
      expect((await openEncoder(await foreign({ [path]: 4n }))).config.heads).toBe(4);
    },
  );

  it.each(["ctor_kwargs/depth", "model_args/depth", "config/num_hidden_layers"])(
    "are refused where they contradict the tensors: %s",
    async (path) => {
      const opened = openEncoder(await foreign({ [path]: 12 }), {}, "mine.pth");
      await expect(opened).rejects.toThrow(`mine.pth: ${path} is 12, but by its tensors the encoder has blocks 2`);
    },
  );
});

describe("tensors of what the encoder does not have", () => {
  it.each<[string, Shapes, EncoderOptions]>([
    ["norms of queries and keys", { "blocks.0.attn.q_norm.weight": [4], "blocks.0.attn.k_norm.weight": [4] }, {}],
    ["a relative position bias", { "blocks.0.attn.relative_position_bias_table": [9, 2] }, {}],
    ["a shared relative position bias", { "rel_pos_bias.relative_position_bias_table": [9, 2] }, {}],
    ["SwiGLU in one matrix", { "blocks.0.mlp.w12.weight": [64, 8], "blocks.0.mlp.w3.weight": [8, 32] }, {}],
    ["a norm inside the MLP", { "blocks.0.mlp.norm.weight": [32] }, {}],
    ["a norm before the blocks", { "norm_pre.weight": [8] }, {}],
    ["a pooling by attention", { "attn_pool.latent": [1, 1, 8] }, {}],
    ["rotary positions", { "rope.freqs": [2] }, {}],
    ["LayerScale in names that nobody has", { "blocks.0.ls1.scale": [8] }, {}],
    ["LayerScale of transformers", { "encoder.layer.0.layer_scale1.lambda1": [8] }, {}],
    ["LayerScale of a block that is not there", { "blocks.7.gamma_1": [8] }, {}],
    ["the same, kept", { "blocks.7.gamma_1": [8] }, { layerScale: "keep" }],
  ])("are refused by name: %s", async (_, extra, options) => {
    const [name = ""] = Object.keys(extra);
    const opened = openEncoder(await foreign({}, extra), options);
    await expect(opened).rejects.toThrow(IncompleteWeightsError);
    await expect(opened).rejects.toThrow(name);
    const { report } = await openEncoder(await foreign({}, extra), { ...options, allowLeftOver: true });
    expect(report.leftOver).toEqual(expect.arrayContaining(Object.keys(extra)));
  });

  it("are read as leading tokens where they are registers", async () => {
    const { config: read } = await openEncoder(await foreign({}, { register_tokens: [1, 4, 8] }));
    expect(read.classTokens).toBe(5);
  });

  it.each([
    ["folded", { layerScale: "fold" }],
    ["kept", { layerScale: "keep" }],
  ] as const)("are refused where LayerScale has another size: %s", async (_, options) => {
    const opened = openEncoder(await foreign({}, { ...gammas, "blocks.1.ls2.gamma": [4] }), options);
    await expect(opened).rejects.toThrow(/blocks\.1\.ls2\.gamma is \[4\], expected \[8\]/);
  });

  it("are missing where a block lacks the LayerScale that others keep", async () => {
    const { "blocks.1.ls1.gamma": _missing, ...some } = gammas;
    const opened = openEncoder(await foreign({}, some), { layerScale: "keep" });
    await expect(opened).rejects.toThrow("1 parameter of the encoder not in the file: blocks.1.ls1.gamma");
  });
});
