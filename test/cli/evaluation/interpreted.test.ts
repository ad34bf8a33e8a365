// Features and what is judged by them without any GPU, by the rules that a reproducible device keeps.
import { readFile, writeFile } from "node:fs/promises";
import { beforeAll, expect, it } from "vitest";
import { run } from "../run_command.ts";
import { smallFolder } from "../small_run.ts";

const at = await smallFolder();
const images = 30;
const inputs = () => [
  "--weights",
  at("weights.safetensors"),
  "--images",
  at("few-images-idx3-ubyte"),
  "--workers",
  "0",
];

beforeAll(async () => {
  for (const [name, header, item] of [
    ["images-idx3-ubyte", 16, 144],
    ["labels-idx1-ubyte", 8, 1],
  ] as const) {
    const bytes = (await readFile(at(name))).subarray(0, header + images * item);
    bytes.writeUInt32BE(images, 4);
    await writeFile(at(`few-${name}`), bytes);
  }
});

async function done(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await run(...args, "--reproducible");
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  return out;
}

it("embed gives the bytes of the adapter on the interpreter", { timeout: 60_000 }, async () => {
  const embed = async (file: string, ...more: readonly string[]) => {
    await done("embed", ...inputs(), "--out", at(file), ...more);
    return readFile(at(file));
  };
  const wanted = await embed("adapter.npy");
  expect((await embed("interpreted.npy", "--adapter", "interpreter")).equals(wanted)).toBe(true);
});

it("evaluate knn scores and predicts on the interpreter as on the adapter", { timeout: 60_000 }, async () => {
  const knn = async (name: string, ...more: readonly string[]) => {
    const files = ["--predictions", at(`${name}.csv`)];
    const out: unknown = JSON.parse(
      await done("evaluate", "knn", ...inputs(), "--k", "3", "--json", ...files, ...more),
    );
    return { out, predicted: await readFile(at(`${name}.csv`), "utf8") };
  };
  const { out, predicted } = await knn("adapter");
  const interpreted = await knn("interpreted", "--adapter", "interpreter");
  expect(interpreted.predicted).toBe(predicted);
  const scores = { receipt: { scores: expect.anything() }, details: { accuracy: expect.anything() } };
  expect(out).toMatchObject(scores);
  expect(interpreted.out).toMatchObject(only(out));
});

/** What does not name the adapter, the time or the place. */
function only(out: unknown): object {
  if (typeof out !== "object" || out === null || !("receipt" in out) || !("details" in out))
    throw new Error("no result");
  const { receipt, details } = out;
  if (typeof receipt !== "object" || receipt === null || !("scores" in receipt)) throw new Error("no scores");
  return { receipt: { scores: receipt.scores }, details };
}
