import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { randomSource } from "../../../engine/testing/index.ts";
import { run } from "../run_command.ts";
import { checkpoints, smallFolder, smallSettings, start, waitForUpdates } from "../small_run.ts";

const at = await smallFolder();
const inputs = () => ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--no-evaluate"];

const pretraining =
  "--pixels 12 --patch 4 --width 16 --blocks 1 --attention-heads 2 --decoder-width 16 --decoder-blocks 1 --decoder-heads 2 --batch 16 --epochs 8 --warmup 1 --checkpoint-minutes 0.0000000001".split(
    " ",
  );

/** In micro-batches, with what is drawn for a batch; the kernels of RandAugment would take long to compile, seven times. */
const finetuning =
  "--batch 16 --micro-batch 6 --epochs 8 --warmup 1 --drop-path 0.4 --rand-augment 0 --checkpoint-minutes 0.0000000001".split(
    " ",
  );

/** A training of 40 updates as a command. */
interface Training {
  readonly command: string;
  /** The command line of a new run, without the folder. */
  readonly begin: () => readonly string[];
  readonly resume: readonly string[];
  readonly result: string;
}

const trainings: readonly Training[] = [
  {
    command: "refine",
    begin: () => ["refine", ...inputs(), ...smallSettings],
    resume: ["refine", "--no-evaluate"],
    result: "encoder.safetensors",
  },
  {
    command: "pretrain",
    begin: () => ["pretrain", "--images", at("images-idx3-ubyte"), ...pretraining],
    resume: ["pretrain"],
    result: "mae.safetensors",
  },
  {
    command: "finetune",
    begin: () => ["finetune", ...inputs(), ...finetuning],
    resume: ["finetune"],
    result: "classifier.safetensors",
  },
];

describe.each(trainings)("$command", ({ command, begin, resume, result }) => {
  it("gives byte-identical checkpoints when it is killed at five random moments", { timeout: 600_000 }, async () => {
    const straight = at(`${command}-straight`);
    expect((await run(...begin(), "--out", straight)).code).toBe(0);
    const killed = at(`${command}-killed`);
    const random = randomSource(Date.now());
    const moments = Array.from({ length: 5 }, () => 1 + Math.floor(38 * random())).sort((a, b) => a - b);
    for (const [i, moment] of moments.entries()) {
      const { child, ended } = i === 0 ? start(...begin(), "--out", killed) : start(...resume, "--resume", killed);
      await waitForUpdates(child, killed, moment);
      await new Promise((tick) => setTimeout(tick, 30 * random())); // anywhere within an update
      child.kill("SIGKILL");
      await ended;
    }
    expect((await start(...resume, "--resume", killed).ended).code).toBe(0);
    const [expected, actual] = await Promise.all(
      [straight, killed].map(async (out) => {
        const files = await checkpoints(out);
        return Promise.all(
          [...files.map((file) => `checkpoints/${file}`), result].map((file) => readFile(join(out, file))),
        );
      }),
    );
    expect(await checkpoints(straight)).toEqual(["000000039.safetensors", "000000040.safetensors"]);
    expect(actual?.length).toBe(3);
    for (const [i, bytes] of (expected ?? []).entries())
      expect(Buffer.compare(actual?.[i] ?? Buffer.alloc(0), bytes), `file ${i}, killed after ${moments}`).toBe(0);
    const leftOvers = (await readdir(join(killed, "checkpoints"))).filter((file) => file.endsWith(".part"));
    expect(leftOvers).toEqual([]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("saves on %s, says how to go on, and exits with %i", { timeout: 180_000 }, async (signal, code) => {
    const out = at(`${command}-${signal}`);
    const { child, ended } = start(...begin(), "--out", out);
    await waitForUpdates(child, out, 1);
    child.kill(signal);
    const { code: actual, err } = await ended;
    expect(actual).toBe(code);
    expect(err).toContain(`mimrefine ${command} --resume ${out}`);
    expect((await checkpoints(out)).length).toBeGreaterThan(0);
  });
});
