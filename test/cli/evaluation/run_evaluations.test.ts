import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, it } from "vitest";
import { type Receipt, receiptSchema } from "../../../cli/evaluation/evaluation_line.ts";
import { evaluationsOfRun } from "../../../cli/evaluation/run_evaluations.ts";
import { Output } from "../../../cli/output/streams.ts";

const folder = await mkdtemp(join(tmpdir(), "mimrefine-run-evaluations-"));
afterAll(() => rm(folder, { recursive: true }));
const run = join(folder, "run");

/** Of an evaluation of the weights that the run began with. */
function receipt(): Receipt {
  const images = { path: "/images", images: 1000, digest: {}, pixels: { images: 1, sha256: "0" } };
  return receiptSchema.parse({
    ...{ format: 1, version: "0.2.0", protocol: "knn", settings: { k: 10 }, seed: 0, train: images, test: images },
    encoder: { weights: "/e.safetensors", digest: { contents: "1" }, options: {} },
    adapter: { name: "a", type: "software", backend: "vulkan", driver: "d" },
    selection: { on: "nothing", text: "nothing was chosen" },
    scores: [{ name: "accuracy", value: 0.5, standardError: 0.01, images: 1000 }],
  });
}

async function evaluate(path: string): Promise<string> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "receipt.json"), JSON.stringify(receipt()));
  return path;
}

/** What leads to itself: something is there that nobody can read, whatever their rights. */
const unreadable = (path: string) => symlink(path, path);

function listening() {
  const lines: string[] = [];
  const streams = { out: () => undefined, err: (text: string) => void lines.push(text), isTerminal: false };
  return { lines, output: new Output(streams, { json: false, quiet: false }) };
}

beforeEach(async () => {
  await rm(run, { recursive: true, force: true });
  await mkdir(run);
  const fingerprint = { images: {}, weights: { contents: "1" } };
  await writeFile(join(run, "config.json"), JSON.stringify({ fingerprint }));
});

it("of two evaluations alike the first is shown, and the other named", async () => {
  const [again, knn] = [await evaluate(join(run, "evaluations/again")), await evaluate(join(run, "evaluations/knn"))];
  const { lines, output } = listening();
  expect(await evaluationsOfRun(run, [], output)).toHaveLength(1);
  expect(lines).toEqual([`${knn}: evaluates the same weights in the same way as ${again}; left out\n`]);
});

it("a result that cannot be read is not taken for other weights", async () => {
  await evaluate(join(run, "evaluations/knn"));
  await unreadable(join(run, "encoder.safetensors"));
  await expect(evaluationsOfRun(run, [], listening().output)).rejects.toMatchObject({ code: "ELOOP" });
});

it("a folder or a receipt that cannot be read is not taken for none", async () => {
  const { output } = listening();
  const [none, closed, sealed] = ["none", "closed", "sealed"].map((name) => join(run, name));
  if (!none || !closed || !sealed) throw new RangeError("three folders");
  await expect(evaluationsOfRun(run, [none], output)).rejects.toThrow(/none holds no receipt\.json/);
  await unreadable(closed);
  await expect(evaluationsOfRun(run, [closed], output)).rejects.toMatchObject({ code: "ELOOP" });
  await mkdir(sealed);
  await unreadable(join(sealed, "receipt.json"));
  await expect(evaluationsOfRun(run, [sealed], output)).rejects.toMatchObject({ code: "ELOOP" });
});
