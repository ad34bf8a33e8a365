import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openStep } from "../../../engine/step/load_step.ts";
import { run } from "../run_command.ts";
import { smallFolder, smallSettings } from "../small_run.ts";

const at = await smallFolder();
const inputs = () => ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--no-evaluate"];

/** One epoch per stage. */
const short = [
  ...smallSettings,
  "--stage2-epochs",
  "1",
  "--stage3-epochs",
  "1",
  "--stage2-warmup",
  "0",
  "--stage3-warmup",
  "0",
];

it("a run keeps --reproducible in its config.json and goes on with it", { timeout: 240_000 }, async () => {
  const out = at("run");
  const begun = await run("refine", ...inputs(), ...short, "--reproducible", "--out", out);
  expect(begun.err).not.toContain("error");
  expect(begun.code).toBe(0);
  const config = (): Promise<unknown> => readFile(join(out, "config.json"), "utf8").then(JSON.parse);
  expect(await config()).toMatchObject({ reproducible: true });
  expect((await run("refine", "--no-evaluate", "--resume", out)).code).toBe(0);
  expect(await config()).toMatchObject({ reproducible: true });
  // Its update is exported with kernels that every device takes.
  expect((await run("export-step", out, "--out", at("step.mimstep"))).code).toBe(0);
  const { header } = await openStep(new Uint8Array(await readFile(at("step.mimstep"))));
  expect([header.numbers, header.features]).toEqual(["grid", []]);
});

it("a run that was begun without it does not go on with it", { timeout: 120_000 }, async () => {
  const out = at("plain");
  expect((await run("refine", ...inputs(), ...short, "--out", out)).code).toBe(0);
  const { code, err } = await run("refine", "--no-evaluate", "--reproducible", "--resume", out);
  expect(code).not.toBe(0);
  expect(err).toContain("resume: the run was begun without --reproducible, so its bytes depend on the adapter");
});

it("half precision is refused with it", { timeout: 120_000 }, async () => {
  const { code, err } = await run(
    "refine",
    ...inputs(),
    ...short,
    "--reproducible",
    "--precision",
    "f16",
    "--out",
    at("half"),
  );
  expect(code).not.toBe(0);
  expect(err).toContain(
    "precision f16: needs the feature shader-f16, which the reproducible mode does not admit; use f32",
  );
});
