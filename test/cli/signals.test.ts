import { access, readdir } from "node:fs/promises";
import process from "node:process";
import { expect, it } from "vitest";
import { cli, smallFolder, smallSettings, start, startProgram, waitForUpdates } from "./small_run.ts";

const at = await smallFolder();
const limit = { timeout: 180_000 };
/** One stage: what a signal does is the same in both. */
const oneStage = ["--stage2-epochs", "6", "--stage3-epochs", "0"];

const refineInto = (out: string, ...more: readonly string[]) =>
  start(
    ...["refine", "--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--no-evaluate"],
    ...[...smallSettings, ...oneStage, "--workers", "0", "--out", out, ...more],
  );

it("a closed terminal saves the run, though it says so twice, and the run goes on from there", limit, async () => {
  const out = at("hung");
  const { child, ended } = refineInto(out);
  await waitForUpdates(child, out, 3);
  child.stderr?.destroy(); // nothing can be shown any more
  child.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 5));
  child.kill("SIGHUP");
  expect((await ended).code).toBe(129);
  await expect(access(`${out}/encoder.safetensors`)).rejects.toThrow();
  expect((await refineInto(out, "--resume").ended).code).toBe(0);
  await access(`${out}/encoder.safetensors`);
});

it("a training whose readers go away goes on to its end", limit, async () => {
  const out = at("unread");
  const { child, ended } = refineInto(out, "--json");
  await waitForUpdates(child, out, 3);
  child.stdout?.destroy();
  child.stderr?.destroy();
  expect((await ended).code).toBe(0);
  await access(`${out}/encoder.safetensors`);
});

it("a signal in the moment of taking the run folder leaves nothing of the lock", limit, async () => {
  const out = at("locking");
  const locking = new URL("./killed_while_locking.mjs?SIGINT", import.meta.url).href;
  const begin = ["refine", "--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--out", out];
  const { code } = await startProgram(process.execPath, ["--import", locking, cli, ...begin]).ended;
  expect([code, await readdir(out)]).toEqual([130, []]);
});

it("an interrupted evaluation that cannot go on leaves no run, and the same command begins anew", limit, async () => {
  const out = at("evaluated");
  const begun = new URL("./interrupted_when_begun.mjs", import.meta.url).href;
  const images = ["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--workers", "0"];
  const knn = [cli, "evaluate", "knn", ...images, "-k", "3", "--out", out];
  const interrupted = await startProgram(process.execPath, ["--import", begun, ...knn]).ended;
  expect([interrupted.code, interrupted.err]).toEqual([130, expect.stringContaining("ended early; nothing was kept")]);
  await expect(access(`${out}/config.json`)).rejects.toThrow("ENOENT");
  const { code, err } = await startProgram(process.execPath, knn).ended;
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
  expect(await readdir(out)).toEqual(expect.arrayContaining(["config.json", "receipt.json"]));
});
