import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { randomSource } from "../../engine/testing/index.ts";
import { saveEncoder, vitConfig } from "../../models/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "../models/random_encoder.ts";

/** The built command. */
export const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const imageCount = 80;
const side = 12;

/** 40 updates of 16 images, a checkpoint after each. */
export const smallSettings: readonly string[] =
  "--batch 16 --heads 0,last --projector-width 16 --predictor-width 16 --output-width 8 --queue-length 64 --top-k 4 --local-views 0 --stage2-epochs 4 --stage3-epochs 4 --stage2-warmup 1 --stage3-warmup 1 --checkpoint-minutes 0.0000000001".split(
    " ",
  );

/** A folder with `weights.safetensors`, `images-idx3-ubyte` and `labels-idx1-ubyte`, removed after the tests of the file. */
export async function smallFolder(): Promise<(name: string) => string> {
  const device = await testDevice();
  const folder = await mkdtemp(join(tmpdir(), "refine-"));
  const at = (name: string): string => join(folder, name);
  beforeAll(async () => {
    const vit = { patchPixels: 4, width: 16, blocks: 2, heads: 2, channels: 1, heightPixels: side, widthPixels: side };
    const model = randomEncoder(device, vitConfig(vit));
    await writeFileAtomic(at("weights.safetensors"), (sink) => saveEncoder(sink, model));
    const random = randomSource(5);
    const noise = (length: number, levels: number) => Uint8Array.from({ length }, () => Math.floor(levels * random()));
    await writeFile(at("images-idx3-ubyte"), idx([imageCount, side, side], noise(imageCount * side * side, 256)));
    await writeFile(at("labels-idx1-ubyte"), idx([imageCount], noise(imageCount, 2)));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return at;
}

/** An IDX file of bytes. */
function idx(shape: readonly number[], values: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, word] of [0x800 + shape.length, ...shape].entries()) view.setUint32(4 * i, word);
  bytes.set(values, 4 + 4 * shape.length);
  return bytes;
}

/** A command that has ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Starts the built command as a process. */
export function start(...args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  return startProgram(process.execPath, [cli, ...args]);
}

/** Starts any program. */
export function startProgram(program: string, args: readonly string[]) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  const text = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    text.out += String(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    text.err += String(chunk);
  });
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, ...text })));
  return { child, ended };
}

/** Names of the checkpoints of a run, in order. */
export async function checkpoints(out: string): Promise<string[]> {
  const files = await readdir(join(out, "checkpoints")).catch(() => []);
  return files.filter((file) => file.endsWith(".safetensors")).sort();
}

/** Waits until a run has made that many updates, or its process has ended. */
export async function waitForUpdates(child: ChildProcess, out: string, updates: number): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const newest = (await checkpoints(out)).at(-1);
    if (newest && Number.parseInt(newest, 10) >= updates) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
