import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { randomSource } from "../../engine/testing/index.ts";
import { initializeParameters, saveEncoder, VisionTransformer, vitConfig, vitParameters } from "../../models/index.ts";
import { testDevice } from "../device.ts";

const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const device = await testDevice();
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "refine-"));
  const config = vitConfig({
    patchPixels: 4,
    width: 16,
    blocks: 2,
    heads: 2,
    channels: 1,
    heightPixels: 12,
    widthPixels: 12,
  });
  const model = new VisionTransformer(device, config);
  initializeParameters(model.parameters, vitParameters(config), 3);
  model.writeSincosPositions();
  await writeFileAtomic(join(folder, "weights.safetensors"), (sink) => saveEncoder(sink, model));
  await writeFile(join(folder, "images-idx3-ubyte"), idxImages(80, 12));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** An IDX file of noise. */
function idxImages(count: number, side: number): Uint8Array {
  const random = randomSource(5);
  const bytes = new Uint8Array(16 + count * side * side);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of [0x803, count, side, side].entries()) view.setUint32(4 * i, word);
  for (let i = 16; i < bytes.length; i++) bytes[i] = Math.floor(256 * random());
  return bytes;
}

const settings = [
  ...[
    "--batch",
    "16",
    "--heads",
    "0,last",
    "--projector-width",
    "16",
    "--predictor-width",
    "16",
    "--output-width",
    "8",
  ],
  ...["--queue-length", "64", "--top-k", "4", "--local-views", "0", "--stage2-epochs", "4", "--stage3-epochs", "4"],
  ...["--stage2-warmup", "1", "--stage3-warmup", "1", "--checkpoint-minutes", "0.00001"],
];

function start(out: string, resume: boolean): ChildProcess {
  const files = [
    "--weights",
    join(folder, "weights.safetensors"),
    "--images",
    join(folder, "images-idx3-ubyte"),
    "--out",
    out,
  ];
  return spawn(process.execPath, [cli, "refine", ...files, ...(resume ? ["--resume"] : settings), "--quiet"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.on("exit", resolve));
}

async function checkpoints(out: string): Promise<string[]> {
  return (await readdir(join(out, "checkpoints")).catch(() => []))
    .filter((file) => file.endsWith(".safetensors"))
    .sort();
}

/** Kills the process with SIGKILL as soon as the run has made that many updates. */
async function killAfter(child: ChildProcess, out: string, updates: number): Promise<void> {
  const exited = exitOf(child);
  let isRunning = true;
  void exited.then(() => {
    isRunning = false;
  });
  while (isRunning) {
    const newest = (await checkpoints(out)).at(-1);
    if (newest && Number.parseInt(newest, 10) >= updates) child.kill("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await exited;
}

it("gives byte-identical checkpoints when it is killed at five random moments", { timeout: 600_000 }, async () => {
  const straight = join(folder, "straight");
  expect(await exitOf(start(straight, false))).toBe(0);
  const killed = join(folder, "killed");
  const random = randomSource(Date.now());
  const moments = Array.from({ length: 5 }, () => 1 + Math.floor(38 * random())).sort((a, b) => a - b);
  for (const [i, moment] of moments.entries()) await killAfter(start(killed, i > 0), killed, moment);
  expect(await exitOf(start(killed, true))).toBe(0);
  const [expected, actual] = await Promise.all(
    [straight, killed].map(async (out) => {
      const files = await checkpoints(out);
      return Promise.all(
        [...files.map((file) => `checkpoints/${file}`), "encoder.safetensors"].map((file) => readFile(join(out, file))),
      );
    }),
  );
  expect(actual?.length).toBe(3);
  for (const [i, bytes] of (expected ?? []).entries())
    expect(Buffer.compare(actual?.[i] ?? Buffer.alloc(0), bytes), `file ${i}, killed after ${moments}`).toBe(0);
});

it("saves on SIGINT, says how to go on, and exits with 130", { timeout: 120_000 }, async () => {
  const out = join(folder, "interrupted");
  const child = start(out, false);
  while ((await checkpoints(out)).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGINT");
  expect(await exitOf(child)).toBe(130);
  expect((await checkpoints(out)).length).toBeGreaterThan(0);
});

it("refuses a folder that holds a run", { timeout: 60_000 }, async () => {
  expect(await exitOf(start(join(folder, "straight"), false))).toBe(2);
});
