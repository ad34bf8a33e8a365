import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { hostTensor, TensorItem, writeSafetensors } from "../../../engine/files/index.ts";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { cli, smallFolder } from "../small_run.ts";

const at = await smallFolder();
const minute = 60_000;
const rows = 3000;
const brokenImages = 2000;
const width = 16;

/** Runs a line of shell with `mimrefine` as the built command. */
async function shell(line: string): Promise<string> {
  const script = `mimrefine() { "${process.execPath}" "${cli}" "$@"; }; ${line}`;
  const env = { ...process.env, MIMREFINE_CACHE: at("cache") };
  const { stdout } = await promisify(execFile)("bash", ["-c", script], { env, maxBuffer: 1e9 });
  return stdout;
}

beforeAll(async () => {
  const names = Array.from({ length: 2000 }, (_, i) => `${"a long name of a tensor ".repeat(3)}${i}`);
  const one = TensorItem.of(hostTensor("f32", [1], Float32Array.of(1)));
  const tensors = new Map(names.map((name) => [name, one]));
  await writeFileAtomic(at("many.safetensors"), (sink) => writeSafetensors(sink, tensors));
  const features = Float32Array.from({ length: rows * width }, (_, i) => ((i * 37) % 101) - 50);
  await writeFileAtomic(at("index.safetensors"), (sink) =>
    writeSafetensors(sink, new Map([["features", TensorItem.of(hostTensor("f32", [rows, width], features))]])),
  );
  const list = Array.from({ length: rows }, (_, i) => `${"folder/".repeat(10)}${i}.png\t\t`);
  await writeFile(at("index.safetensors.files.tsv"), ["path\tlabel\tclass", ...list, ""].join("\n"));
  await mkdir(at("broken"));
  for (let i = 0; i < brokenImages; i++) await writeFile(at(`broken/${String(i).padStart(4, "0")}.png`), "no picture");
});

const search = () =>
  `search ${at("images-idx3-ubyte")} --index ${at("index.safetensors")} --weights ${at("weights.safetensors")} -k ${rows} --json -q --no-tune`;
const embed = (maxBad: number) =>
  `embed --weights ${at("weights.safetensors")} --images ${at("broken")} --out ${at("none.npy")} --force --no-tune --max-bad ${maxBad}`;

describe("a reader that sleeps first gets everything", { timeout: 3 * minute }, () => {
  it("inspect --json", async () => {
    const whole = await shell(
      `mimrefine inspect ${at("many.safetensors")} --json > ${at("whole")}; cat ${at("whole")}`,
    );
    expect(whole.length).toBeGreaterThan(300_000);
    expect(await shell(`mimrefine inspect ${at("many.safetensors")} --json | (sleep 2; cat)`)).toBe(whole);
  });

  it("search -k 3000 --json", async () => {
    const found = JSON.parse(await shell(`mimrefine ${search()} | (sleep 4; cat)`));
    expect(found.results).toHaveLength(rows);
  });

  it("the messages of embed", async () => {
    const messages = await shell(`mimrefine ${embed(1)} 2>&1 >/dev/null | (sleep 4; cat)`);
    expect(messages.match(/\d{4}\.png cannot be decoded/g)).toHaveLength(brokenImages);
  });

  it("the messages of a command that fails", async () => {
    const messages = await shell(`mimrefine ${embed(0.9)} 2>&1 >/dev/null | (sleep 4; cat)`);
    expect(messages).toMatch(/\nerror: [^\n]+\n$/);
  });

  it("what a signal cuts short", async () => {
    const program = `{ echo $BASHPID > ${at("pid")}; exec "${process.execPath}" "${cli}" ${embed(1)}; } 2>&1`;
    const reader = `while read -r line; do case "$line" in warning:*) break;; esac; done; kill -TERM $(cat ${at("pid")}); sleep 3; cat`;
    const messages = await shell(`${program} | (${reader}); echo "\${PIPESTATUS[0]}"`);
    expect(messages).toMatch(/^(warning: [^\n]+(file|Terminated)\n)*143\n$/);
  });
});

describe("a reader that goes away", { timeout: 3 * minute }, () => {
  it("ends a command that only prints, without an error", async () => {
    const line = `mimrefine inspect ${at("many.safetensors")} 2>${at("messages")} | head -n 1; echo "\${PIPESTATUS[0]}"`;
    expect((await shell(line)).trimEnd().split("\n").at(-1)).toBe("0");
    expect(await readFile(at("messages"), "utf8")).toBe("");
  });

  it("does not end a command that writes a file", async () => {
    const out = at("written.npy");
    const line = `mimrefine embed --weights ${at("weights.safetensors")} --images ${at("images-idx3-ubyte")} --out ${out} --no-tune 2> >(exec true) | true; echo "\${PIPESTATUS[0]}"; ls ${out}.files.tsv`;
    expect(await shell(line)).toBe(`0\n${out}.files.tsv\n`);
  });
});

it("results that a full disk did not take are an error", async () => {
  const line = `mimrefine inspect ${at("many.safetensors")} > /dev/full 2> ${at("full")}; echo $?; cat ${at("full")}`;
  expect(await shell(line)).toMatch(/^1\nerror: the results could not be written to stdout \(ENOSPC/);
});
