import { mkdir } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { beforeAll, expect, it } from "vitest";
import { cli, smallFolder, smallSettings, startProgram } from "./small_run.ts";

const at = await smallFolder();
const counter = fileURLToPath(new URL("count_threads.mjs", import.meta.url));
const minute = 60_000;
const small = "--pixels 12 --patch 4 --width 16 --blocks 1 --attention-heads 2 --decoder-width 16 --decoder-blocks 1";

beforeAll(async () => {
  await mkdir(at("pictures"));
  for (let i = 0; i < 20; i++) {
    const data = Uint8Array.from({ length: 24 * 24 }, (_, k) => (k * (i + 3)) & 255);
    await sharp(data, { raw: { width: 24, height: 24, channels: 1 } })
      .png()
      .toFile(at(`pictures/${i}.png`));
  }
});

const commands: Record<string, () => string[]> = {
  refine: () => ["--weights", at("weights.safetensors"), "--no-evaluate", ...smallSettings],
  pretrain: () => [...small.split(" "), "--decoder-heads", "2", "--batch", "16"],
};
const epochs: Record<string, string[]> = {
  refine: ["--stage2-epochs", "0", "--stage3-epochs", "1"],
  pretrain: ["--epochs", "1"],
};

it.each([
  ["refine", 0],
  ["refine", 2],
  ["pretrain", 0],
  ["pretrain", 2],
] as const)("%s --workers %i starts as many threads", { timeout: 3 * minute }, async (command, workers) => {
  const { code, err } = await startProgram(process.execPath, [
    ...["--import", counter, cli, command, "--images", at("pictures"), "--out", at(`${command}${workers}`)],
    ...[...(commands[command]?.() ?? []), ...(epochs[command] ?? []), "--workers", String(workers)],
  ]).ended;
  expect([code, /threads started: (\d+)/.exec(err)?.[1]]).toEqual([0, String(workers)]);
});
