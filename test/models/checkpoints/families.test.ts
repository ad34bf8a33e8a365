import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { EngineError } from "../../../engine/index.ts";
import {
  type EncoderOptions,
  IncompleteWeightsError,
  openEncoder,
  UnknownModelError,
} from "../../../models/checkpoints/index.ts";

import { sincosPositions } from "../../../models/index.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

/** The value at place i of a tensor: told apart by the name. */
function elementOf(name: string, i: number): number {
  return Math.fround(((i * 7 + name.length * 13) % 31) / 31 - 0.5);
}

function valuesOf(name: string, shape: readonly number[]): Float32Array {
  const size = shape.reduce((all, length) => all * length, 1);
  return Float32Array.from({ length: size }, (_, i) => elementOf(name, i));
}

/** A checkpoint of tensors; names with slashes stand for the dictionaries of PyTorch files. */
async function checkpointOf(shapes: Shapes, changes: Readonly<Record<string, Float32Array>> = {}) {
  const sink = memorySink();
  const items = Object.entries(shapes).map(
    ([name, shape]) => [name, TensorItem.of(hostTensor("f32", shape, changes[name] ?? valuesOf(name, shape)))] as const,
  );
  await writeSafetensors(sink, new Map(items));
  return openCheckpoint(memorySource(sink.bytes(), "test"));
}

const width = 8;

function prefixed(prefix: string, shapes: Shapes): Shapes {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [prefix + name, shape]));
}

/** A pre-norm ViT of one block of width 8 with a 2 × 2 grid, in timm's names. */
const timm: Shapes = {
  cls_token: [1, 1, width],
  pos_embed: [1, 5, width],
  "patch_embed.proj.weight": [width, 3, 4, 4],
  "patch_embed.proj.bias": [width],
  "blocks.0.norm1.weight": [width],
  "blocks.0.norm1.bias": [width],
  "blocks.0.attn.qkv.weight": [3 * width, width],
  "blocks.0.attn.qkv.bias": [3 * width],
  "blocks.0.attn.proj.weight": [width, width],
  "blocks.0.attn.proj.bias": [width],
  "blocks.0.norm2.weight": [width],
  "blocks.0.norm2.bias": [width],
  "blocks.0.mlp.fc1.weight": [20, width],
  "blocks.0.mlp.fc1.bias": [20],
  "blocks.0.mlp.fc2.weight": [width, 20],
  "blocks.0.mlp.fc2.bias": [width],
  "norm.weight": [width],
  "norm.bias": [width],
};

function without(shapes: Shapes, ...names: readonly string[]): Shapes {
  return Object.fromEntries(Object.entries(shapes).filter(([name]) => !names.includes(name)));
}

async function read(encoder: Awaited<ReturnType<typeof openEncoder>>, name: string): Promise<number[]> {
  return Array.from((await encoder.parameters.get(name)?.read()) ?? []);
}

describe("families", () => {
  it("reads timm's names and the sizes from the shapes", async () => {
    const { config, report } = await openEncoder(await checkpointOf(timm), { heads: 2 });
    expect(report.family).toBe("timm names");
    expect(config).toMatchObject({ kind: "prenorm", width, blocks: 1, mlpWidth: 20, patchPixels: 4, heightPixels: 8 });
    expect(config.heads).toBe(2);
  });

  it("prefers the teacher of iBOT and dBOT to the student, and drops their heads", async () => {
    const shapes = {
      ...prefixed("student/backbone.", timm),
      ...prefixed("teacher/backbone.", { ...timm, masked_embed: [1, width] }),
      "teacher/head.mlp.0.weight": [4, width],
    };
    const { report, parameters } = await openEncoder(await checkpointOf(shapes));
    expect(report.place).toBe("teacher/backbone.");
    expect(report.alternatives).toEqual(["student/backbone."]);
    expect(parameters.get("norm.bias")?.sources).toEqual(["teacher/backbone.norm.bias"]);
    expect(report.dropped.flatMap(({ names }) => names)).toContain("teacher/head.mlp.0.weight");
    expect(report.leftOver).toEqual([]);
  });

  it("reads the student when it is asked for", async () => {
    const shapes = { ...prefixed("student/backbone.", timm), ...prefixed("teacher/backbone.", timm) };
    const { report } = await openEncoder(await checkpointOf(shapes), { place: "student/backbone." });
    expect(report.place).toBe("student/backbone.");
    await expect(openEncoder(await checkpointOf(shapes), { place: "ema/" })).rejects.toThrow('"teacher/backbone."');
  });

  it("reads the target encoder of I-JEPA, which has no class token", async () => {
    const bare = { ...without(timm, "cls_token"), pos_embed: [1, 4, width] };
    const shapes = {
      ...prefixed("encoder/module.", bare),
      ...prefixed("target_encoder/module.", bare),
      "predictor/module.predictor_embed.weight": [4, width],
    };
    const { config, report } = await openEncoder(await checkpointOf(shapes));
    expect([report.family, report.place, config.classTokens]).toEqual(["I-JEPA", "target_encoder/module.", 0]);
  });

  it("reads the momentum encoder of layer-grafting", async () => {
    const shapes = {
      ...prefixed("state_dict/module.base_encoder.", timm),
      ...prefixed("state_dict/module.momentum_encoder.", { ...timm, "head.0.weight": [4, width] }),
    };
    const { report } = await openEncoder(await checkpointOf(shapes));
    expect([report.family, report.place]).toEqual(["layer-grafting", "state_dict/module.momentum_encoder."]);
  });

  it("drops the decoder of CrossMAE", async () => {
    const shapes = prefixed("model/", {
      ...timm,
      mask_token: [1, 1, 4],
      "decoder_blocks.0.cross_attn.q.weight": [4, 4],
      "dec_norms.0.weight": [width],
      "wfm.weight": [1, 1],
    });
    const { report } = await openEncoder(await checkpointOf(shapes));
    expect([report.family, report.leftOver]).toEqual(["CrossMAE", []]);
  });

  it("reads data2vec 2.0 that was fine-tuned, below the prefix model.", async () => {
    const image = "modality_encoders.IMAGE.";
    const blocks = Object.fromEntries(Object.entries(timm).filter(([name]) => name.startsWith("blocks")));
    const shapes = prefixed("model/model.", {
      ...blocks,
      [`${image}local_encoder.proj.weight`]: [width, 3, 4, 4],
      [`${image}local_encoder.proj.bias`]: [width],
      [`${image}extra_tokens`]: [1, 1, width],
      [`${image}fixed_positional_encoder.positions`]: [1, 4, width],
      [`${image}context_encoder.norm.weight`]: [width],
      [`${image}context_encoder.norm.bias`]: [width],
      "fc_norm.weight": [width],
      "head.weight": [10, width],
    });
    const { config, report } = await openEncoder(await checkpointOf(shapes));
    expect([config.kind, config.classTokens, report.leftOver]).toEqual(["postnorm", 1, []]);
  });

  it("drops the average of data2vec 2.0, even one that holds a whole encoder", async () => {
    const image = "modality_encoders.IMAGE.";
    const encoder: Shapes = {
      ...Object.fromEntries(Object.entries(timm).filter(([name]) => name.startsWith("blocks"))),
      [`${image}local_encoder.proj.weight`]: [width, 3, 4, 4],
      [`${image}local_encoder.proj.bias`]: [width],
      [`${image}extra_tokens`]: [1, 1, width],
      [`${image}fixed_positional_encoder.positions`]: [1, 4, width],
      [`${image}context_encoder.norm.weight`]: [width],
      [`${image}context_encoder.norm.bias`]: [width],
    };
    const shapes = { ...prefixed("model/_ema/", encoder), ...prefixed("model/", encoder) };
    const { report } = await openEncoder(await checkpointOf(shapes));
    expect([report.place, report.alternatives]).toEqual(["model/", ["model/_ema/"]]);
    expect(report.dropped.flatMap(({ names }) => names)).toContain(`model/_ema/${image}extra_tokens`);
  });

  it("stacks query, key and value of transformers' ViT", async () => {
    const layer = "vit.encoder.layer.0.";
    const attention = `${layer}attention.attention.`;
    const thirds = ["query", "key", "value"].flatMap((word): [string, number[]][] => [
      [`${attention}${word}.weight`, [width, width]],
      [`${attention}${word}.bias`, [width]],
    ]);
    const shapes: Shapes = {
      "vit.embeddings.cls_token": [1, 1, width],
      "vit.embeddings.position_embeddings": [1, 5, width],
      "vit.embeddings.patch_embeddings.projection.weight": [width, 3, 4, 4],
      "vit.embeddings.patch_embeddings.projection.bias": [width],
      ...Object.fromEntries(thirds),
      [`${layer}attention.output.dense.weight`]: [width, width],
      [`${layer}attention.output.dense.bias`]: [width],
      [`${layer}intermediate.dense.weight`]: [20, width],
      [`${layer}intermediate.dense.bias`]: [20],
      [`${layer}output.dense.weight`]: [width, 20],
      [`${layer}output.dense.bias`]: [width],
      [`${layer}layernorm_before.weight`]: [width],
      [`${layer}layernorm_before.bias`]: [width],
      [`${layer}layernorm_after.weight`]: [width],
      [`${layer}layernorm_after.bias`]: [width],
      "vit.layernorm.weight": [width],
      "vit.layernorm.bias": [width],
      "classifier.weight": [10, width],
    };
    const encoder = await openEncoder(await checkpointOf(shapes));
    const expected = ["query", "key", "value"].flatMap((word) =>
      Array.from(valuesOf(`${attention}${word}.weight`, [width, width])),
    );
    expect(await read(encoder, "blocks.0.attn.qkv.weight")).toEqual(expected);
    expect(encoder.config.epsilon).toBe(1e-12);
  });

  it("puts a zero between a query bias and a value bias that are stored alone", async () => {
    const shapes = {
      ...without(timm, "blocks.0.attn.qkv.bias"),
      "blocks.0.attn.q_bias": [width],
      "blocks.0.attn.v_bias": [width],
    };
    const bias = await read(await openEncoder(await checkpointOf(shapes)), "blocks.0.attn.qkv.bias");
    expect(bias).toEqual([
      ...valuesOf("blocks.0.attn.q_bias", [width]),
      ...new Array<number>(width).fill(0),
      ...valuesOf("blocks.0.attn.v_bias", [width]),
    ]);
  });

  it("folds LayerScale into the linear layer before it", async () => {
    const encoder = await openEncoder(await checkpointOf({ ...timm, "blocks.0.ls1.gamma": [width] }));
    const values = await read(encoder, "blocks.0.attn.proj.weight");
    const expected = Array.from(valuesOf("blocks.0.attn.proj.weight", [width, width]), (value, i) =>
      Math.fround(value * elementOf("blocks.0.ls1.gamma", Math.floor(i / width))),
    );
    expect(values).toEqual(expected);
  });
});

describe("the class row of stored positions", () => {
  const row = valuesOf("pos_embed", [width]);
  const token = valuesOf("cls_token", [width]);

  it("is added to the class token, so that the function of the model stays the same", async () => {
    const encoder = await openEncoder(await checkpointOf(timm));
    const expected = Array.from(token, (value, i) => Math.fround(value + (row[i] ?? 0)));
    expect(await read(encoder, "cls_tokens.tokens")).toEqual(expected);
    expect(await read(encoder, "pos_embed.embed")).toEqual(Array.from(valuesOf("pos_embed", [5 * width]).slice(width)));
    expect(encoder.report.notes.join()).toContain("was added to the class token");
  });

  it("is dropped when that is asked for, and the report says so", async () => {
    const encoder = await openEncoder(await checkpointOf(timm), { classPosition: "as-published" });
    expect(await read(encoder, "cls_tokens.tokens")).toEqual(Array.from(token));
    expect(encoder.report.notes.join()).toContain("this changes the model");
  });
});

describe("positions of a grid that is not square", () => {
  const wide = { ...timm, pos_embed: [1, 1 + 2 * 3, width] };

  it("are read where the resolution is given", async () => {
    const { config } = await openEncoder(await checkpointOf(wide), { resolution: [8, 12] });
    expect([config.heightPixels, config.widthPixels]).toEqual([8, 12]);
  });

  it.each<[string, Shapes, readonly [number, number], string]>([
    ["too many patches", wide, [12, 12], "are not the 3 x 3 patches of 12x12 pixels"],
    ["a part of a patch", wide, [6, 16], "are not the 1.5 x 4 patches"],
    ["a grid that is stored as one", { ...timm, pos_embed: [1, 2, 2, width] }, [8, 12], "give 8x8"],
  ])("are refused where they do not fit it: %s", async (_, shapes, resolution, text) => {
    const opened = openEncoder(await checkpointOf(shapes), { resolution });
    await expect(opened).rejects.toThrow(text);
    await expect(opened).rejects.toThrow("--resolution");
  });
});

describe("files that do not fit", () => {
  it("are read or refused with a typed error, whatever shapes they hold", async () => {
    const axis = fc.oneof(fc.constantFrom(0, 1, 2, 4, width, 3 * width, 5), fc.nat(30));
    const changes = fc.array(fc.tuple(fc.constantFrom(...Object.keys(timm)), fc.array(axis, { maxLength: 5 })), {
      minLength: 1,
      maxLength: 3,
    });
    const gone = fc.array(fc.constantFrom(...Object.keys(timm)), { maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(changes, gone, fc.boolean(), async (changed, removed, isLenient) => {
        const shapes = without({ ...timm, ...Object.fromEntries(changed) }, ...removed);
        try {
          const options = { allowMissing: isLenient, allowLeftOver: isLenient };
          const encoder = await openEncoder(await checkpointOf(shapes), options);
          for (const { shape, read: readAll } of encoder.parameters.values())
            expect((await readAll()).length).toBe(shape.reduce((all, length) => all * length, 1));
        } catch (error) {
          if (!(error instanceof EngineError)) throw error;
          expect(error.message).toMatch(/^checkpoint: /);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("names parameters that are missing", async () => {
    const incomplete = without(timm, "blocks.0.mlp.fc2.bias", "norm.weight");
    const error: unknown = await openEncoder(await checkpointOf(incomplete)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(IncompleteWeightsError);
    expect(error).toMatchObject({ missing: ["blocks.0.mlp.fc2.bias", "norm.weight"] });
    const allowed = await openEncoder(await checkpointOf(incomplete), { allowMissing: true });
    expect(allowed.report.missing).toHaveLength(2);
    expect(allowed.report.matched).toHaveLength(16);
    expect(await read(allowed, "norm.weight")).toEqual(new Array(width).fill(1));
    expect(await read(allowed, "blocks.0.mlp.fc2.bias")).toEqual(new Array(width).fill(0));
  });

  it("places start values of positions by row first, as the authors' library does", async () => {
    const encoder = await openEncoder(await checkpointOf(without(timm, "pos_embed")), { allowMissing: true });
    expect(encoder.report.missing).toEqual(["pos_embed.embed"]);
    const expected = sincosPositions(56, 56, width, "row-first"); // 224 pixels in patches of 4
    expect(await read(encoder, "pos_embed.embed")).toEqual(Array.from(expected));
  });

  it("refuses a norm that a post-norm encoder does not have", async () => {
    const both = { ...timm, "embed_norm.weight": [width], "embed_norm.bias": [width] };
    await expect(openEncoder(await checkpointOf(both))).rejects.toThrow(
      "2 tensors without a place in the encoder: norm.weight, norm.bias",
    );
    const { parameters, config } = await openEncoder(await checkpointOf(both), { allowLeftOver: true });
    expect([config.kind, parameters.has("norm.weight")]).toEqual(["postnorm", false]);
  });

  it.each<[string, Shapes, EncoderOptions, string]>([
    ["another architecture", { "conv1.weight": [8, 3, 3, 3] }, {}, "no vision transformer"],
    ["a place that is none", timm, { place: "teacher." }, 'no encoder at "teacher."'],
    ["a video model", { ...timm, "patch_embed.proj.weight": [8, 3, 2, 4, 4] }, {}, "[8,3,2,4,4], expected"],
    ["an empty patch", { ...timm, "patch_embed.proj.weight": [8, 3, 0, 0] }, {}, "[8,3,0,0], expected"],
    ["heads that do not divide", timm, { heads: 3 }, "3 attention heads do not divide the width 8"],
    ["a block that nobody stored", { ...timm, "blocks.4000000000.norm1.bias": [8] }, {}, "block 1 is not in the file"],
    ["positions of no grid", { ...timm, pos_embed: [1, 7, width] }, {}, "7 rows"],
    ["missing tensors", without(timm, "norm.bias"), {}, "1 parameter of the encoder not in the file: norm.bias"],
  ])("names the file: %s", async (_, shapes, options, text) => {
    const opened = openEncoder(await checkpointOf(shapes), options, "mine.pth");
    await expect(opened).rejects.toThrow(/^mine\.pth: /);
    await expect(opened).rejects.toThrow(text);
  });

  it("refuses tensors that it has no place for, unless they are allowed", async () => {
    const foreign = { ...timm, "blocks.0.attn.relative_position_bias_table": [9, 2] };
    await expect(openEncoder(await checkpointOf(foreign))).rejects.toThrow("relative_position_bias_table");
    const { report } = await openEncoder(await checkpointOf(foreign), { allowLeftOver: true });
    expect(report.leftOver).toEqual(["blocks.0.attn.relative_position_bias_table"]);
  });

  it("refuses tensors whose shapes contradict each other", async () => {
    await expect(openEncoder(await checkpointOf({ ...timm, "norm.bias": [width + 1] }))).rejects.toThrow(
      "norm.bias is [9], expected [8]",
    );
  });

  it("refuses another architecture and shows what it saw", async () => {
    const convolutions = { "layer1.0.conv1.weight": [8, 3, 3, 3] };
    const error: unknown = await openEncoder(await checkpointOf(convolutions)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnknownModelError);
    expect(String(error)).toContain("layer1.0.conv1.weight");
  });

  it("names tensors that hold NaN once they were read", async () => {
    const values = valuesOf("norm.bias", [width]).fill(Number.NaN, 2, 4);
    const encoder = await openEncoder(await checkpointOf(timm, { "norm.bias": values }));
    await read(encoder, "norm.bias");
    expect(encoder.report.warnings).toEqual([expect.stringContaining("norm.bias: 2 of 8 values")]);
  });

  it("asks for the heads where a width tells nothing", async () => {
    const { config } = await openEncoder(await checkpointOf(timm));
    expect(config.heads).toBeUndefined();
    await expect(openEncoder(await checkpointOf(timm), { heads: 3 })).rejects.toThrow(
      "3 attention heads do not divide",
    );
  });
});
