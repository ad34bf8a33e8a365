import { readFile } from "node:fs/promises";
import process from "node:process";
import { expect, it } from "vitest";
import { vitConfig } from "../../../models/index.ts";
import { dryRun } from "../../../refiner/methods/refine/planning/dry_run.ts";
import { refineConfig } from "../../../refiner/methods/refine/refine_config.ts";
import { testDevice } from "../../device.ts";
import { checkpoints, cli, smallFolder, smallSettings, start, startProgram, waitForUpdates } from "../small_run.ts";

const device = await testDevice();
const at = await smallFolder();
const updates = 10;
/** Heads whose moments are larger than what they pass through. */
const hidden = 160;
const settings = [
  ...[...smallSettings, "--stage2-epochs", "0", "--stage3-epochs", "2", "--micro-batch", "16"],
  ...["--projector-width", String(hidden), "--predictor-width", String(hidden)],
];
const command = (out: string, ...more: readonly string[]): string[] => [
  ...["refine", "--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--no-evaluate"],
  ...[...settings, "--workers", "0", "--out", out, ...more],
];

/** What a run leaves: its result and its last checkpoint. */
async function leftBy(out: string): Promise<Buffer[]> {
  const files = ["encoder.safetensors", `checkpoints/${(await checkpoints(out)).at(-1)}`];
  return Promise.all(files.map((file) => readFile(`${out}/${file}`)));
}

/** What the run leaves that is neither killed nor offloads anything, made once for each of its settings. */
const plainRuns = new Map<string, Promise<Buffer[]>>();
function leftByPlain(...more: readonly string[]): Promise<Buffer[]> {
  const out = at(`plain ${more.join(" ")}`);
  const known = plainRuns.get(out) ?? start(...command(out, ...more)).ended.then(() => leftBy(out));
  plainRuns.set(out, known);
  return known;
}

/** Kills a run after so many updates, while its state is on its way, and goes on until the next such number. */
async function runKilledAt(out: string, kills: readonly number[], more: readonly string[]): Promise<void> {
  for (const [i, kill] of kills.entries()) {
    const { child, ended } = start(...command(out, ...more, ...(i > 0 ? ["--resume"] : [])));
    await waitForUpdates(child, out, kill);
    child.kill("SIGKILL");
    const { code, err } = await ended;
    expect([code, code === null ? "" : err], "it was killed, and had not ended").toEqual([null, ""]);
  }
  const { code, err } = await start(...command(out, ...more, "--resume")).ended;
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
}

/** Less than a run takes that keeps everything on the device. */
function memoryThatAsksForOffload(): number {
  const vit = { patchPixels: 4, width: 16, blocks: 2, heads: 2, channels: 1, heightPixels: 12, widthPixels: 12 };
  const own = refineConfig({
    ...{
      batch: 16,
      heads: [0, "last"],
      projectorWidth: hidden,
      predictorWidth: hidden,
      outputWidth: 8,
      queueLength: 64,
    },
    ...{ topK: 4, localViews: 0, stage2Epochs: 0, microBatch: 16, recompute: true },
  });
  return dryRun(device, vitConfig(vit), own, 80, 3).memory.total - 1;
}

it.for([
  ["what the planner chooses", [], ["--offload", "auto", "--memory", String(memoryThatAsksForOffload())]],
  ["weights, too", ["--precision", "f16"], ["--offload", "moments,average,weights"]],
] as const)(
  "a run with state on the host that is killed ends with the bytes of one without: %s",
  {
    timeout: 300_000,
  },
  async ([name, common, offload], { skip }) => {
    if (common.length > 0 && !device.features.has("shader-f16")) skip(`${device.info.name}: no shader-f16`);
    const killed = at(`killed ${name}`);
    await runKilledAt(killed, [2, 6], [...common, ...offload]);
    const config = JSON.parse(await readFile(`${killed}/config.json`, "utf8"));
    expect(config.settings.offload).toContain("moments");
    expect(config.settings.offload).not.toContain("auto");
    const [expected, left] = [await leftByPlain(...common), await leftBy(killed)];
    expect((await checkpoints(killed)).at(-1)).toBe(`${String(updates).padStart(9, "0")}.safetensors`);
    for (const [i, bytes] of left.entries()) expect(Buffer.compare(bytes, expected[i] ?? Buffer.of())).toBe(0);
  },
);

it("a device that is lost while state is on its way loses nothing", { timeout: 300_000 }, async () => {
  const lost = at("lost");
  const preload = new URL("../lose_devices.mjs", import.meta.url);
  preload.searchParams.set("at", "31,92"); // of about 150: in the middle of a step, in the first and in the second half
  const offloaded = command(lost, "--offload", "moments,average");
  const { code, err } = await startProgram(process.execPath, ["--import", preload.href, cli, ...offloaded]).ended;
  expect([code, err]).toEqual([0, expect.stringMatching(/lost/)]);
  const [expected, left] = [await leftByPlain(), await leftBy(lost)];
  for (const [i, bytes] of left.entries()) expect(Buffer.compare(bytes, expected[i] ?? Buffer.of())).toBe(0);
});
