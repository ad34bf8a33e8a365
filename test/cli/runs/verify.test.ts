// Reproducible runs of the three trainings, computed again by the command.
import { readFile, writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../run_command.ts";
import { smallFolder, smallSettings } from "../small_run.ts";

const at = await smallFolder();
const minute = 60_000;
const digits = "cli/demo/digits/train-images-idx3-ubyte.gz";
const tiny =
  "--patch 7 --pixels 14 --width 16 --blocks 1 --attention-heads 2 --decoder-width 8 --decoder-blocks 1 --decoder-heads 2";

async function edited(file: string, change: (text: string) => string, work: () => Promise<void>): Promise<void> {
  const text = await readFile(file, "utf8");
  await writeFile(file, change(text));
  await work().finally(() => writeFile(file, text));
}

describe("a pre-training on digits", () => {
  beforeAll(async () => {
    const schedule = "--batch 512 --epochs 1 --checkpoint-every 0.4 --warmup 0 --reproducible --recheck 50".split(" ");
    const settings = ["--images", digits, ...tiny.split(" "), ...schedule];
    expect(await run("pretrain", ...settings, "--out", at("mae"), "--quiet")).toMatchObject({ code: 0, err: "" });
  }, minute);

  it("is equal, and says on which adapter", { timeout: minute }, async () => {
    const { code, out, err } = await run("verify", at("mae"), "--updates", "2", "--quiet");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^equal: 2 updates after \d+ have the recorded batches and states, bit for bit, on .+\n$/);
  });

  it("works in parts, so that its update is no single program to export", { timeout: minute }, async () => {
    const { code, err } = await run("export-step", at("mae"), "--out", at("step.mimstep"));
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/an update of this run is \d+ programs .*reproducible pretrain/),
    ]);
  });

  it("whose hashes were changed is different, and ends with 1", { timeout: minute }, async () => {
    const first = (text: string) => text.replace(/"state":"./, (found) => `"state":"${found.endsWith("0") ? 1 : 0}`);
    await edited(at("mae/hashes.jsonl"), first, async () => {
      const { code, out } = await run("verify", at("mae"), "--from", "0", "--json", "--quiet");
      expect([code, JSON.parse(out)]).toMatchObject([1, { isEqual: false, equal: 0, difference: { update: 0 } }]);
    });
  });

  it("without hashes is refused by what makes them", { timeout: minute }, async () => {
    await edited(
      at("mae/hashes.jsonl"),
      () => "",
      async () => {
        const { code, err } = await run("verify", at("mae"));
        expect(code).toBe(1);
        expect(err).toMatch(
          /the run recorded no hashes; only runs that were trained with --reproducible can be verified/,
        );
      },
    );
  });

  it("refuses rechecks without hashes", { timeout: minute }, async () => {
    const { code, err } = await run(
      "pretrain",
      "--images",
      digits,
      ...tiny.split(" "),
      "--recheck",
      "1",
      "--out",
      at("no"),
    );
    expect(code).toBe(1);
    expect(err).toMatch(/pretrain: recheck 1 needs reproducible/);
  });
});

it("a refinement is verified over both of its stages", { timeout: 2 * minute }, async () => {
  const files = ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte")];
  const short = "--stage2-epochs 1 --stage3-epochs 1 --checkpoint-minutes 1000 --reproducible --offload average".split(
    " ",
  );
  const trained = await run(
    "refine",
    ...files,
    "--out",
    at("refined"),
    ...smallSettings,
    ...short,
    "--no-evaluate",
    "--quiet",
  );
  expect(trained.code).toBe(0);
  const { code, out } = await run("verify", at("refined"), "--from", "0", "--quiet");
  expect([code, out]).toEqual([0, expect.stringMatching(/^equal: 10 updates after 0/)]);
});

it("a fine-tuning is verified", { timeout: 2 * minute }, async () => {
  const files = ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte")];
  const settings = "--batch 8 --epochs 1 --warmup 0 --reproducible".split(" ");
  const trained = await run("finetune", ...files, "--out", at("tuned"), ...settings, "--quiet");
  expect(trained.code).toBe(0);
  const { code, out } = await run("verify", at("tuned"), "--from", "0", "--quiet");
  expect([code, out]).toEqual([0, expect.stringMatching(/^equal: 8 updates after 0/)]);
});
