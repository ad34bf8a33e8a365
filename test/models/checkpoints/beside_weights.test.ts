import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import {
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  openFile,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { type EncoderOptions, openEncoder, UnknownModelError } from "../../../models/checkpoints/index.ts";

// Made with PyTorch 1.13 (torch.save, torch.jit.script) from ViTs of one block of width 8, patches of 4 pixels and a 2 x 2 grid.
const folder = new URL("files/", import.meta.url);

async function opened(name: string, options: EncoderOptions = {}) {
  const checkpoint = await openCheckpoint(await openFile(fileURLToPath(new URL(name, folder))));
  try {
    return { checkpoint, ...(await openEncoder(checkpoint, options, name)) };
  } finally {
    await checkpoint.close();
  }
}

describe("harmless things beside the weights", () => {
  for (const name of ["path.pth", "complex_buffer.pth", "things_beside.pth", "things_beside_legacy.pth"])
    test(`${name} is read`, async () => {
      const { config, report } = await opened(name);
      expect(config).toMatchObject({ width: 8, blocks: 1, classTokens: 1 });
      expect(report.missing).toEqual([]);
    });

  test("a complex buffer within the encoder is told", async () => {
    const { report } = await opened("complex_buffer.pth");
    expect(report.warnings.join()).toContain("freqs_cis: a tensor of torch.ComplexFloatStorage, not read");
  });

  test("a weight that cannot be read is refused by name", async () => {
    await expect(opened("quantised_weight.pth")).rejects.toThrow(
      "blocks.0.attn.qkv.weight is made by torch._utils._rebuild_qtensor, which cannot be read",
    );
  });

  test("a whole module and an archive of TorchScript are read by the names of their state dictionary", async () => {
    for (const name of ["whole_module.pth", "torchscript.pt"]) {
      const { config, report } = await opened(name);
      expect(config).toMatchObject({ width: 8, blocks: 1, heads: 2 });
      expect(report.leftOver).toEqual([]);
      expect(report.notes.join()).not.toContain("attention heads");
    }
  });

  test("a negated tensor is read with its sign", async () => {
    const checkpoint = await openCheckpoint(await openFile(fileURLToPath(new URL("negated.pth", folder))));
    expect([...(await checkpoint.readAsF32("n"))]).toEqual([-1, -2, -3, -4]);
    expect([...(await checkpoint.read("n")).data]).toEqual([-1, -2, -3, -4]);
    await checkpoint.close();
  });
});

type Shapes = Readonly<Record<string, readonly number[]>>;

async function encoderOf(shapes: Shapes, options: EncoderOptions = {}) {
  const sink = memorySink();
  const items = Object.entries(shapes).map(([name, shape]) => {
    const size = shape.reduce((all, length) => all * length, 1);
    return [name, TensorItem.of(hostTensor("f32", shape, new Float32Array(size).fill(0.5)))] as const;
  });
  await writeSafetensors(sink, new Map(items));
  return openEncoder(await openCheckpoint(memorySource(sink.bytes(), "test")), options, "test");
}

/** A ViT of one block with 2 x 2 patches; `wrap` changes the names. */
function vit(width: number, wrap: (name: string) => string = (name) => name): Shapes {
  const shapes: Shapes = {
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
    "blocks.0.mlp.fc1.weight": [4 * width, width],
    "blocks.0.mlp.fc1.bias": [4 * width],
    "blocks.0.mlp.fc2.weight": [width, 4 * width],
    "blocks.0.mlp.fc2.bias": [width],
    "norm.weight": [width],
    "norm.bias": [width],
  };
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [wrap(name), shape]));
}

describe("words of wrappers", () => {
  test("are taken out anywhere in a name", async () => {
    const wraps: readonly ((name: string) => string)[] = [
      (name) => `module.${name}`,
      (name) => `_orig_mod.module.${name}`,
      (name) => name.replace("patch_embed.", "patch_embed._fsdp_wrapped_module."),
      (name) =>
        `_fsdp_wrapped_module.${name.replace("blocks.0.", "blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module.")}`,
      (name) => `teacher.backbone.${name.replace(".mlp.", "._orig_mod.mlp.module.")}`,
    ];
    for (const wrap of wraps) {
      const { report } = await encoderOf(vit(8, wrap));
      expect(report.matched.length).toBe(18);
      expect(report.leftOver).toEqual([]);
    }
    expect((await opened("fsdp.pth")).report.missing).toEqual([]);
  });

  test("that are all that differs between two names are refused, unless the place tells", async () => {
    const both = { ...vit(8), ...vit(8, (name) => name.replace("blocks.0.", "blocks.0.module.")) };
    await expect(encoderOf(both)).rejects.toThrow(UnknownModelError);
    const twins = { ...vit(8), ...vit(8, (name) => `module.${name}`) };
    expect((await encoderOf(twins, { place: "module." })).report.matched[0]?.sources[0]).toMatch(/^module\./);
  });
});

describe("guesses are called guesses", () => {
  test("the number of heads, unless it is given", async () => {
    const { config, report } = await encoderOf(vit(384));
    expect(config.heads).toBe(6);
    expect(report.notes.join()).toContain("attention heads: 6 is a guess from the width 384");
    expect(report.notes.join()).toContain("--attention-heads");
    expect((await encoderOf(vit(384), { heads: 12 })).report.notes.join()).not.toContain("attention heads");
  });

  test("MoCo v3's ViT-S has 12 heads", async () => {
    for (const prefix of ["module.base_encoder.", "module.momentum_encoder."])
      expect((await encoderOf(vit(384, (name) => prefix + name))).config.heads).toBe(12);
  });

  test("a square grid, unless the resolution is given", async () => {
    expect((await encoderOf(vit(8))).report.notes.join()).toMatch(/2 x 2 patches.*a guess.*--resolution/);
    expect((await encoderOf(vit(8), { resolution: [4, 16] })).report.notes.join()).not.toContain("a guess");
  });
});
