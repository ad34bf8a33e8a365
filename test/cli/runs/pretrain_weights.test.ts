import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import {
  initializeParameters,
  MaskedAutoencoder,
  maeDecoderParameters,
  saveMae,
  vitConfig,
} from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { run } from "../run_command.ts";
import { checkpoints, smallFolder, start, waitForUpdates } from "../small_run.ts";

const at = await smallFolder();
const minutes = 60_000;
const settings = "--batch 16 --epochs 2 --warmup 0 --checkpoint-minutes 0.0000000001".split(" ");
const inputs = (weights = "mae.safetensors") => ["--weights", at(weights), "--images", at("images-idx3-ubyte")];
const decoder = { width: 12, blocks: 1, heads: 3 };

async function writeMae(file: string, seed: number): Promise<void> {
  const device = await testDevice();
  const size = { channels: 1, heightPixels: 12, widthPixels: 12 };
  const config = vitConfig({ patchPixels: 4, width: 16, blocks: 2, heads: 4, mlpWidth: 48, ...size });
  const model = new MaskedAutoencoder(randomEncoder(device, config), decoder);
  initializeParameters(model.decoderParameters, maeDecoderParameters(config, decoder), seed);
  model.writeSincosPositions();
  await writeFileAtomic(at(file), (sink) => saveMae(sink, model));
}

beforeAll(async () => {
  await writeMae("mae.safetensors", 1);
  await writeMae("other.safetensors", 2);
});

describe("pretrain --weights", () => {
  it("goes on with encoder and decoder of the file, which decide the settings of the model", {
    timeout: minutes,
  }, async () => {
    const out = at("whole");
    const { code, err } = await run("pretrain", ...inputs(), "--out", out, ...settings, "--epochs", "0");
    expect([code, err]).toEqual([0, expect.not.stringContaining("no decoder")]);
    const stored = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
    expect(stored).toMatchObject({
      weights: at("mae.safetensors"),
      fingerprint: { weights: expect.any(Object) },
      settings: { pixels: 12, patch: 4, width: 16, blocks: 2, attentionHeads: 4, mlpWidth: 48, ...sizes(decoder) },
    });
    const tensors = async (file: string) => {
      const bytes = await readFile(file);
      return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
    };
    expect(await tensors(join(out, "mae.safetensors"))).toEqual(await tensors(at("mae.safetensors")));
  });

  it("says that a decoder is new, where the file holds an encoder alone", { timeout: minutes }, async () => {
    const small = "--decoder-width 8 --decoder-blocks 1 --decoder-heads 2".split(" ");
    const given = [...inputs("weights.safetensors"), "--out", at("new"), ...settings, ...small];
    const { code, err } = await run("pretrain", ...given);
    expect([code, err]).toEqual([0, expect.stringContaining("no decoder is in the file; a new one begins")]);
  });

  it("gives the bytes of an uninterrupted run after a kill", { timeout: 5 * minutes }, async () => {
    const begin = (out: string) => start("pretrain", ...inputs(), "--out", out, ...settings, "--epochs", "8");
    expect((await begin(at("straight")).ended).code).toBe(0);
    const { child, ended } = begin(at("killed"));
    await waitForUpdates(child, at("killed"), 15);
    child.kill("SIGKILL");
    await ended;
    expect((await start("pretrain", "--resume", at("killed")).ended).code).toBe(0);
    const files = (await checkpoints(at("straight"))).map((file) => `checkpoints/${file}`);
    expect(files).toHaveLength(2);
    for (const file of [...files, "mae.safetensors"])
      expect(Buffer.compare(await readFile(at(`killed/${file}`)), await readFile(at(`straight/${file}`))), file).toBe(
        0,
      );
  });

  it("names other weights when it goes on, and takes no weights for a run without", {
    timeout: 2 * minutes,
  }, async () => {
    const out = at("begun");
    expect((await run("pretrain", ...inputs(), "--out", out, ...settings)).code).toBe(0);
    const { code, err } = await run("pretrain", "--resume", out, "--weights", at("other.safetensors"));
    expect([code, err]).toEqual([2, expect.stringMatching(/resume: the weights \(.*\) differ from those of the run/)]);
    const random = ["--images", at("images-idx3-ubyte"), ..."--pixels 12 --patch 4 --width 16 --blocks 1".split(" ")];
    expect((await run("pretrain", ...random, "--attention-heads", "2", "--out", at("random"), ...settings)).code).toBe(
      0,
    );
    const resumed = await run("pretrain", "--resume", at("random"), "--weights", at("mae.safetensors"));
    expect([resumed.code, resumed.err]).toEqual([2, expect.stringContaining("began from random weights")]);
  });

  it.each([
    [["--width", "32"], "pretrain: width is 32, the given model has 16; leave it out"],
    [["--decoder-blocks", "2"], "pretrain: decoderBlocks is 2, the given model has 1"],
    [["--channels", "3"], "takes 1; leave it out"],
  ])("refuses what the model does not have: %s", async (other, text) => {
    const { code, err } = await run("pretrain", ...inputs(), "--out", at("refused"), ...settings, ...other);
    expect([code, err]).toEqual([2, expect.stringContaining(text)]);
  });
});

describe("pretrain --dry-run", () => {
  const plan = async (...args: readonly string[]) => {
    const { code, out } = await run("pretrain", ...settings, ...args, "--dry-run", "--json");
    expect(code).toBe(0);
    return JSON.parse(out);
  };

  it("plans from weights, and tells the batch that would fit", { timeout: minutes }, async () => {
    const free = await plan(...inputs(), "--memory", "10GB");
    expect(free).toMatchObject({ fits: true, plan: { updates: 10 } });
    const { total, ...kinds } = free.plan.memory;
    expect(Object.values<number>(kinds).reduce((sum, bytes) => sum + bytes)).toBe(total);
    const bytes = total - Math.round(kinds.activations / 3);
    const tight = await plan(...inputs(), "--memory", `${bytes}B`);
    expect(tight).toMatchObject({ fits: false, change: { batch: 8 } });
    const settled = await plan(...inputs(), "--memory", `${bytes}B`, "--batch", "8");
    expect(settled.fits).toBe(true);
  });

  it("needs images, also beside --resume, which it does not look into", async () => {
    const { code, err } = await run("pretrain", "--resume", at("random"), "--dry-run");
    expect([code, err]).toEqual([2, expect.stringContaining("--images is needed")]);
  });

  it("plans a model of the settings without weights", { timeout: minutes }, async () => {
    const sized = "--pixels 12 --patch 4 --width 16 --blocks 2 --attention-heads 4 --mlp-width 48".split(" ");
    const decoderSizes = "--decoder-width 12 --decoder-blocks 1 --decoder-heads 3".split(" ");
    const random = await plan("--images", at("images-idx3-ubyte"), ...sized, ...decoderSizes, "--memory", "10GB");
    expect(random).toEqual(await plan(...inputs(), "--memory", "10GB"));
  });
});

function sizes({ width, blocks, heads }: typeof decoder) {
  return { decoderWidth: width, decoderBlocks: blocks, decoderHeads: heads };
}
