import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { beginWholeDigest } from "../../../cli/checkpoints/whole_digest.ts";
import { Output } from "../../../cli/output/streams.ts";
import { Origin } from "../../../cli/runs/origin.ts";
import { openCheckpoint } from "../../../engine/files/index.ts";
import { fileSource, writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { checkpoints, cli, smallFolder, smallSettings, startProgram } from "../small_run.ts";

const device = await testDevice();
const counter = fileURLToPath(new URL("../count_threads.mjs", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "digest-"));
const runs = await smallFolder();
const at = (name: string) => join(folder, name);
const mebibyte = 2 ** 20;
const minute = 60_000;
const sizeBytes = 40 * mebibyte + 3;
let expected: string;

beforeAll(async () => {
  expected = await writeZeros("large", sizeBytes);
  await writeFile(at("small"), "weights");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Writes a file of zeros that ends with a 1; returns its digest. */
async function writeZeros(name: string, sizeBytes: number): Promise<string> {
  const bytes = new Uint8Array(sizeBytes);
  bytes[sizeBytes - 1] = 1;
  await writeFile(at(name), bytes);
  return createHash("sha256").update(bytes).digest("hex");
}

/** Threads of this process, where the system tells. */
const threads = async () => (await readdir("/proc/self/task").catch(() => [])).length;

describe("the digest of a whole file", () => {
  it("is SHA-256 of all its bytes, by a thread, by the caller, and where no thread can start", async () => {
    expect(await beginWholeDigest(at("large"), sizeBytes).digest).toBe(expected);
    expect(await beginWholeDigest(at("large"), sizeBytes, pathToFileURL(at("no worker.js"))).digest).toBe(expected);
    expect(await beginWholeDigest(at("large"), 1).digest).toBe(expected);
    const small = createHash("sha256").update("weights").digest("hex");
    expect(await beginWholeDigest(at("small"), 7).digest).toBe(small);
  });

  it("leaves no thread when it is stopped", { timeout: minute }, async () => {
    await beginWholeDigest(at("large"), sizeBytes).digest; // whatever starts with the first thread stands
    const before = await threads();
    for (let i = 0; i < 5; i++) {
      const { digest, stop } = beginWholeDigest(at("large"), sizeBytes);
      await stop();
      await expect(digest).rejects.toThrow("given up");
    }
    await vi.waitFor(async () => expect(await threads()).toBeLessThanOrEqual(before), 5000);
  });

  it("of a file that is not there is rejected with what the system says", async () => {
    await expect(beginWholeDigest(at("missing"), sizeBytes).digest).rejects.toThrow("ENOENT");
    await expect(beginWholeDigest(at("missing"), 5).digest).rejects.toThrow("ENOENT");
  });
});

describe("the origin of a run", () => {
  const warnings: string[] = [];
  const streams = { out: () => {}, err: (text: string) => warnings.push(text), isTerminal: false };
  const output = new Output(streams, { json: false, quiet: false });

  it("is left out, with a warning, where the weights changed meanwhile or are gone", async () => {
    await writeZeros("changing", 20 * mebibyte);
    const origin = await Origin.of(at("changing"), output);
    await utimes(at("changing"), 1, 1);
    expect(await origin.metadata()).toEqual({});
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/changing: it was changed after the run had begun/)]);
    await origin.close();
    const removed = await Origin.of(at("changing"), output);
    await rm(at("changing"));
    expect(await removed.metadata()).toEqual({});
    expect(warnings.splice(0)).toEqual([expect.stringMatching(/ENOENT.*do not say which weights/)]);
    await removed.close();
  });

  it("is given up in silence at the end of a run", async () => {
    const origin = await Origin.of(at("large"), output);
    const metadata = origin.metadata();
    await origin.close();
    expect(await metadata).toEqual({});
    expect(await origin.metadata()).toEqual({});
    expect(warnings).toEqual([]);
  });
});

it("a refinement reads large weights by one thread, and its checkpoints hold their digest", {
  timeout: 3 * minute,
}, async () => {
  const vit = { patchPixels: 4, width: 512, blocks: 2, heads: 8, channels: 1, heightPixels: 12, widthPixels: 12 };
  const weights = runs("large.safetensors");
  await writeFileAtomic(weights, (sink) => saveEncoder(sink, randomEncoder(device, vitConfig(vit))));
  const bytes = await readFile(weights);
  expect(bytes.length).toBeGreaterThan(16 * mebibyte);
  const { code, err } = await startProgram(process.execPath, [
    ...["--import", counter, cli, "refine", "--weights", weights, "--images", runs("images-idx3-ubyte")],
    ...["--out", runs("digested"), "--no-evaluate", "--workers", "0", ...smallSettings],
    ...["--checkpoint-minutes", "9", "--stage2-epochs", "1", "--stage3-epochs", "0"],
  ]).ended;
  expect([code, /threads started: (\d+)/.exec(err)?.[1]], err).toEqual([0, "1"]);
  const [newest = ""] = (await checkpoints(runs("digested"))).slice(-1);
  const checkpoint = await openCheckpoint(await fileSource(runs(`digested/checkpoints/${newest}`)));
  expect(checkpoint.metadata.get("weightsDigest")).toBe(createHash("sha256").update(bytes).digest("hex"));
  await checkpoint.close();
});
