import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, memorySink, memorySource, openCheckpoint } from "../../../engine/files/index.ts";
import { fileSource, writeFileAtomic } from "../../../engine/platform/files_node.ts";
import {
  completeConfig,
  loadEncoder,
  openEncoder,
  saveEncoder,
  untoldOptions,
  type WriteOptions,
  writeEncoder,
} from "../../../models/checkpoints/index.ts";
import { type VisionTransformer, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../random_encoder.ts";

const device = await testDevice();
const sizes = { patchPixels: 3, width: 20, blocks: 2, heads: 5, mlpWidth: 28, heightPixels: 9, widthPixels: 15 };
const prenorm = randomEncoder(device, vitConfig(sizes));
const postnorm = randomEncoder(device, vitConfig({ ...sizes, kind: "postnorm", channels: 1 }));

async function saved(model: VisionTransformer, options: WriteOptions = {}): Promise<Checkpoint> {
  const sink = memorySink();
  await saveEncoder(sink, model, options);
  return openCheckpoint(memorySource(sink.bytes(), "saved"));
}

async function valuesOf(model: VisionTransformer): Promise<Record<string, number[]>> {
  const named = [...model.parameters.tensors, ["pos_embed.embed", model.positions] as const];
  return Object.fromEntries(
    await Promise.all(named.map(async ([name, tensor]) => [name, Array.from(await tensor.read())] as const)),
  );
}

describe("a saved encoder", () => {
  it.each([
    ["prenorm", "safetensors", "authors"],
    ["postnorm", "safetensors", "authors"],
    ["prenorm", "safetensors", "timm"],
    ["prenorm", "safetensors", "mae"],
    ["prenorm", "pth", "authors"],
    ["postnorm", "pth", "authors"],
  ] as const)("comes back unchanged: %s as %s in names of %s", async (kind, format, names) => {
    const model = { prenorm, postnorm }[kind];
    const checkpoint = await saved(model, { format, names });
    const loaded = await loadEncoder(device, checkpoint);
    expect(loaded.model.config).toEqual(model.config);
    expect(await valuesOf(loaded.model)).toEqual(await valuesOf(model));
    expect([loaded.report.missing, loaded.report.leftOver, loaded.report.warnings]).toEqual([[], [], []]);
  });

  it.each([
    ["f16", [65519, -Infinity], 65520, "bf16 or f32"],
    ["bf16", [3.39e38, -Infinity], -3.4e38, "f32"],
  ] as const)("is refused where a finite value overflows %s", async (dtype, held, beyond, remedy) => {
    const weight = (...values: readonly number[]) => ({
      config: prenorm.config,
      parameters: new Map([["norm.weight", { shape: [2], read: async () => Float32Array.from(values) }]]),
    });
    await writeEncoder(memorySink(), weight(...held), { dtype });
    const written = writeEncoder(memorySink(), weight(1, beyond), { dtype });
    await expect(written).rejects.toThrow(`norm.weight holds ${Math.fround(beyond)}, which ${dtype} cannot hold`);
    await expect(written).rejects.toThrow(`use ${remedy}`);
  });

  it("needs its resolution again where names of timm hide a grid that is not square in a PyTorch file", async () => {
    const options = { format: "pth", names: "timm" } as const;
    const checkpoint = await saved(prenorm, options);
    expect(untoldOptions(prenorm.config, options)).toEqual(["--attention-heads 5", "--resolution 9x15"]);
    const misread = await openEncoder(checkpoint); // 1 + 3 x 5 rows are 4 x 4, too
    expect(misread.report.notes.join()).toContain("taken as 4 x 4 patches without a row for the class token");
    const { model, report } = await loadEncoder(device, checkpoint, { heads: 5, resolution: [9, 15] });
    expect(await valuesOf(model)).toEqual(await valuesOf(prenorm));
    expect(report.notes).toEqual(["positions: the class row is zero and was taken off"]);
  });

  it.each<[WriteOptions, readonly string[]]>([
    [{ format: "safetensors", names: "timm" }, []],
    [{ format: "pth", names: "authors" }, ["--epsilon 1e-12"]],
    [{ format: "pth", names: "mae" }, ["--attention-heads 5", "--resolution 9x15", "--epsilon 1e-12"]],
  ])("tells what it does not tell: %j", (options, expected) => {
    expect(untoldOptions({ ...prenorm.config, epsilon: 1e-12 }, options)).toEqual(expected);
  });

  it("has names and shapes of a file for the authors' hub models", async () => {
    const path = fileURLToPath(new URL("../../fixtures/checkpoints/refiner-hub.th", import.meta.url));
    const hub = await openCheckpoint(await fileSource(path));
    const sink = memorySink();
    await writeEncoder(sink, await openEncoder(hub), { format: "pth" });
    const written = await openCheckpoint(memorySource(sink.bytes()));
    const shapes = ({ tensors }: Checkpoint) =>
      Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape]));
    expect(shapes(written)).toEqual(shapes(hub));
    await hub.close();
  });

  it("carries config, source and method in its metadata", async () => {
    const { metadata } = await saved(prenorm, { source: "mae.pth", method: "MIM-Refiner" });
    expect(JSON.parse(metadata.get("mimrefine.config") ?? "")).toEqual(prenorm.config);
    expect([metadata.get("mimrefine.source"), metadata.get("mimrefine.method")]).toEqual(["mae.pth", "MIM-Refiner"]);
  });

  it.each([
    ["f16", 2 ** -11],
    ["bf16", 2 ** -8],
  ] as const)("is rounded to the nearest %s", async (dtype, unit) => {
    const checkpoint = await saved(prenorm, { dtype });
    const encoder = await openEncoder(checkpoint);
    const stored = (await encoder.parameters.get("blocks.0.attn.qkv.weight")?.read()) ?? [];
    const exact = await prenorm.parameters.get("blocks.0.attn.qkv.weight").read();
    // Half a unit in the last place, relative to the value; values here are far from the subnormal range of f16.
    for (const [i, value] of exact.entries())
      expect(Math.abs((stored[i] ?? 9) - Number(value))).toBeLessThanOrEqual(unit * Math.abs(Number(value)) + 2 ** -25);
  });

  it("has the names that each family's loaders look for", async () => {
    const flat = await saved(prenorm, { names: "timm" });
    expect(flat.tensors.get("pos_embed")?.shape).toEqual([1, 16, 20]);
    expect((await flat.readAsF32("pos_embed")).slice(0, 20)).toEqual(new Float32Array(20));
    const mae = await saved(prenorm, { names: "mae", format: "pth" });
    expect(mae.tensors.has("model/cls_token")).toBe(true);
    const authors = await saved(prenorm, { format: "pth" });
    expect(authors.tensors.has("state_dict/cls_tokens.tokens")).toBe(true);
    expect(authors.plainValues.get("ctor_kwargs/num_heads")).toBe(5);
  });

  it("is not written under names that have no such model", async () => {
    await expect(saved(postnorm, { names: "timm" })).rejects.toThrow("use --names authors");
  });
});

/** The interpreter of the Debian package python3-torch. */
const python = "/usr/bin/python3";

function hasTorch(): boolean {
  if (!existsSync(python)) return false;
  try {
    // Looking for the package is quick, importing it is not.
    const code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)";
    execFileSync(python, ["-c", code], { stdio: "ignore", timeout: 60_000 });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!hasTorch())("PyTorch (skipped where python3-torch is not installed)", () => {
  const models = new Map([
    ["pre-norm", prenorm],
    ["pre-norm of epsilon 1e-12", randomEncoder(device, vitConfig({ ...sizes, epsilon: 1e-12 }))],
    ["post-norm", postnorm],
  ]);
  /** Arguments, and shapes, types and sums of tensors, as PyTorch reads them: of all models at once, since it is slow to start. */
  const read = new Map<
    string,
    { readonly kwargs: unknown; readonly tensors: Record<string, [number[], string, number]> }
  >();

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), "mimrefine-torch-"));
    const paths = [...models].map(([name, model], i) => ({ name, model, path: join(folder, `encoder${i}.th`) }));
    for (const { path, model } of paths)
      await writeFileAtomic(path, (sink) => saveEncoder(sink, model, { format: "pth" }));
    const script = [
      "import json, sys, torch",
      "for path in sys.argv[1:]:",
      "    content = torch.load(path, weights_only=True)",
      "    state = content['state_dict']",
      "    print(json.dumps({'kwargs': content['ctor_kwargs'], 'tensors': {n: [list(t.shape), str(t.dtype), float(t.double().sum())] for n, t in state.items()}}))",
    ];
    const given = ["-c", script.join("\n"), ...paths.map(({ path }) => path)];
    const printed = execFileSync(python, given, { encoding: "utf8", timeout: 100_000 }).trim().split("\n");
    await rm(folder, { recursive: true, force: true });
    for (const [i, { name }] of paths.entries()) read.set(name, JSON.parse(printed[i] ?? ""));
  }, 120_000);

  it.each([...models])("reads a written state_dict with weights_only=True: %s", async (name, model) => {
    const { kwargs, tensors = {} } = read.get(name) ?? {};
    const inputShape = [model.config.channels, 9, 15];
    expect(kwargs).toMatchObject({ dim: 20, depth: 2, num_heads: 5, patch_size: 3, input_shape: inputShape });
    const values = await valuesOf(model);
    expect(Object.keys(tensors).sort()).toEqual(Object.keys(values).sort());
    for (const [tensor, numbers] of Object.entries(values)) {
      const [, dtype, total = Number.NaN] = tensors[tensor] ?? [];
      expect(dtype).toBe("torch.float32");
      // Float64 sums of fewer than 2^10 values below 1, in another order.
      expect(Math.abs(total - numbers.reduce((all, value) => all + value, 0))).toBeLessThan(2 ** 10 * 2 ** -52 * 16);
    }
  });
});

describe("reading and writing without a device", () => {
  it("keeps an unknown number of heads unknown", async () => {
    const { heads: _unknown, ...config } = prenorm.config;
    const parameters = (await openEncoder(await saved(prenorm))).parameters;
    const sink = memorySink();
    await writeEncoder(sink, { config, parameters });
    const again = await openEncoder(await openCheckpoint(memorySource(sink.bytes())));
    expect(again.config.heads).toBeUndefined();
    expect(() => completeConfig(again.config)).toThrow("--attention-heads");
  });
});
