import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../../cli/run_cli.ts";
import { hostUniform } from "../../engine/index.ts";
import { writeFileAtomic } from "../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../models/index.ts";
import { vtabTasks } from "../../refiner/index.ts";
import { testDevice } from "../device.ts";
import { randomEncoder } from "../models/random_encoder.ts";
import { run, temporaryFolder } from "./run_command.ts";
import { cli, type Ended, startProgram } from "./small_run.ts";

const device = await testDevice();
const at = await temporaryFolder();
const streams = { out: () => {}, err: () => {}, isTerminal: false };
const minute = 60_000;

/** Lines that take long, with the tests that run them: by their words, or the demo by its function, with fewer images. */
const runElsewhere: Readonly<Record<string, { readonly test: string; readonly call: string }>> = {
  demo: { test: "demo.test.ts", call: "await runDemo(" },
  "demo --reproducible --out runs/hash": { test: "../../.ci/run", call: "npx mimrefine demo --reproducible" },
  "refine --preset mae_l16 --dry-run --memory 24GB": {
    test: "dry_run.test.ts",
    call: 'await run("refine", "--preset", "mae_l16", "--dry-run", "--memory", "24GB"',
  },
};

const tinyHeads =
  "--heads 0,last --projector-width 16 --predictor-width 16 --output-width 8 --queue-length 64 --top-k 4 --stage2-top-k 4";
const tinyStages = "--local-views 0 --stage2-epochs 1 --stage3-epochs 1 --stage2-warmup 0 --stage3-warmup 0";
/** What makes the lines of a command cheap, by their first words: the first row that fits is taken. */
const cheaper: readonly (readonly [string, string])[] = [
  ["refine --weights", `--batch 16 ${tinyHeads} ${tinyStages} --k 3`],
  ["evaluate linear", "--epochs 1 --rates 0.1,1 --batch 8"],
  ["evaluate transfer", "--epochs 1 --rates 0.1,1 --batch 8"],
  ["evaluate vtab", "--preset small --batch 4"],
  ["evaluate labelfree", "--k 3"],
  ["evaluate segment", "--epochs 1 --rates 0.5 --batch 8"],
  ["evaluate lowshot", "--splits 1"],
  ["evaluate cluster", "--restarts 2"],
  ["evaluate knn", "--k 3"],
  ["finetune", "--epochs 1 --warmup 0 --batch 8"],
  ["bench --gpu-report", "--budget 5 --only probes,numbers"],
];

/** Lines of shell in the README that call a command, without `npx mimrefine`. */
async function commandLines(): Promise<string[]> {
  const text = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block = ""]) => block.split("\n"));
  return blocks.flatMap((line) => /^npx mimrefine (.*)$/.exec(line)?.[1] ?? []);
}

/** The command that a line names, and the words after its name. */
function commandOf(line: string): { readonly command: Command; readonly rest: readonly string[] } {
  let command = createProgram({ streams, exitCode: 0 });
  let rest = line.split(" ");
  for (;;) {
    const next = command.commands.find((one) => one.name() === rest[0]);
    if (!next) return { command, rest };
    command = next;
    rest = rest.slice(1);
  }
}

describe.each(await commandLines())("the README's line %s", (line) => {
  it("is one that the program takes", () => {
    const { command, rest } = commandOf(line);
    expect(command.parent, `${line} names no command`).not.toBeNull();
    expect(command.commands, `${line} names a group of commands`).toEqual([]);
    const { operands, unknown } = command.parseOptions([...rest]);
    expect(unknown).toEqual([]);
    const { registeredArguments } = command;
    const most = registeredArguments.some(({ variadic }) => variadic)
      ? Number.POSITIVE_INFINITY
      : registeredArguments.length;
    expect(operands.length).toBeLessThanOrEqual(most);
    expect(operands.length).toBeGreaterThanOrEqual(registeredArguments.filter(({ required }) => required).length);
  });

  it.skipIf(line in runElsewhere)("runs, among files of the names that it uses", { timeout: 5 * minute }, async () => {
    const { command } = commandOf(line);
    const given = line.split(" ");
    const more = cheaper.find(([start]) => line.startsWith(start))?.[1].split(" ") ?? [];
    const has = (option: string) => command.options.some(({ long }) => long === option);
    const quick = [...(has("--no-tune") ? ["--no-tune"] : []), ...(has("--workers") ? ["--workers", "0"] : [])];
    const { code, err } = await here(...given, ...more, ...quick);
    expect([code, err], "give its files in this test, or its options in the table of cheaper ones").toEqual([
      0,
      expect.not.stringContaining("error:"),
    ]);
  });
});

it("lines that are not run are lines of the README, which other tests run", async () => {
  expect(await commandLines()).toEqual(expect.arrayContaining(Object.keys(runElsewhere)));
  for (const { test, call } of Object.values(runElsewhere))
    expect(await readFile(new URL(test, import.meta.url), "utf8"), test).toContain(call);
});

it("the README shows every command", async () => {
  const text = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const names = createProgram({ streams, exitCode: 0 })
    .commands.map((command) => command.name())
    .filter((name) => name !== "help");
  for (const name of names) expect(text).toContain(`| \`mimrefine ${name}`);
});

/** Runs the built command in the folder of the files below, with a cache of its own. */
function here(...args: readonly string[]): Promise<Ended> {
  const inFolder = 'cd "$0" && MIMREFINE_CACHE="$0/cache" exec "$@"';
  return startProgram("sh", ["-c", inFolder, at(""), process.execPath, cli, ...args]).ended;
}

beforeAll(async () => {
  for (const [folder, count] of [
    ["train", 8],
    ["val", 3],
    ["flowers/train", 8],
    ["flowers/test", 2],
  ] as const)
    for (const kind of ["asters", "roses"])
      for (let i = 0; i < count; i++) await picture(`${folder}/${kind}/${i}.png`, i);
  for (const i of [0, 1]) await picture(`photos/${i}.png`, i);
  for (const { name } of vtabTasks) await vtabTask(`vtab-1k/${name}`);
  for (const [masks, folder, count] of [
    ["masks", "train", 8],
    ["val-masks", "val", 3],
  ] as const)
    for (const kind of ["asters", "roses"])
      for (let i = 0; i < count; i++) await mask(`${masks}/${kind}/${i}.png`, folder);
  const vit = { patchPixels: 4, width: 16, blocks: 4, heads: 2, heightPixels: 16, widthPixels: 16 };
  const encoder = randomEncoder(device, vitConfig(vit));
  await writeFileAtomic(at("before.safetensors"), (sink) => saveEncoder(sink, encoder));
  expect((await run("convert", at("before.safetensors"), at("mae_pretrain_vit_large.pth"))).code).toBe(0);
  const { code, err } = await run(
    ...["evaluate", "knn", "--weights", at("before.safetensors"), "--images", at("train"), "--test", at("val")],
    ...["--k", "3", "--no-tune", "--out", at("runs/before")],
  );
  expect([code, err]).toEqual([0, expect.not.stringContaining("error:")]);
  await cp(at("runs/before"), at("runs/after"), { recursive: true });
  await mkdir(at("test/fixtures"), { recursive: true });
  for (const name of ["schedule.json", "few-shot-subsets.json"])
    await cp(fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url)), at(`test/fixtures/${name}`));
}, 5 * minute);

/** Four images of two classes, which all lists share. */
async function vtabTask(folder: string): Promise<void> {
  const numbers = [0, 1, 2, 3];
  for (const i of numbers) await picture(`${folder}/images/${i}.png`, i);
  const lines = numbers.map((i) => `images/${i}.png ${i % 2}\n`).join("");
  for (const list of ["train800", "val200", "train800val200", "test"])
    await writeFile(at(`${folder}/${list}.txt`), lines);
}

async function picture(path: string, index: number): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  const [width, height] = [20 + (index % 3), 18];
  const grey = hostUniform(3 * width * height, { seed: index, purpose: path });
  const data = Uint8Array.from(grey, (value) => 255 * value);
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(at(path));
}

/** Two classes, side by side, of the size of the image that is named alike. */
async function mask(path: string, folder: string): Promise<void> {
  await mkdir(dirname(at(path)), { recursive: true });
  const image = path.replace(/^[^/]+/, folder);
  const { width, height } = await sharp(at(image)).metadata();
  const data = Uint8Array.from({ length: width * height }, (_, i) => (i % width < width / 2 ? 0 : 1));
  await sharp(data, { raw: { width, height, channels: 1 } })
    .toColourspace("b-w")
    .png()
    .toFile(at(path));
}
