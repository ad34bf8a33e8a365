import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { checkKernels } from "../../engine/self_check/index.ts";
import { testDevice } from "../device.ts";
import { run, temporaryFolder } from "./run_command.ts";

const device = await testDevice();
const at = await temporaryFolder();

function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

describe("doctor", () => {
  it("finds every golden kernel within its bound on this adapter", { timeout: 120_000 }, async () => {
    const failed = (await checkKernels(device)).filter((row) => !row.pass);
    expect(failed).toEqual([]);
  });

  it("prints exactly one line of JSON in the agreed form", { timeout: 120_000 }, async () => {
    const { code, out } = await run("doctor", "--json");
    expect([code, out.split("\n").length]).toEqual([0, 2]);
    const { adapter, cases, unsupported, pass } = JSON.parse(out);
    expect(Object.keys(adapter)).toEqual(["name", "type", "backend", "driver"]);
    expect(Object.keys(cases[0])).toEqual(["case", "tensor", "maxError", "bound", "pass"]);
    expect([unsupported, pass]).toEqual([[], true]);
  });

  it("runs a folder of fixtures, names cases that it does not know", { timeout: 120_000 }, async () => {
    await mkdir(at("good"));
    for (const name of ["pos-embed.json", "pos-embed.safetensors"]) await copyFile(fixture(name), at(`good/${name}`));
    await writeFile(at("good/unheard-of.json"), "{}");
    const { code, out } = await run("doctor", "--fixtures", at("good"), "--json");
    const { unsupported, pass } = JSON.parse(out);
    expect([code, unsupported, pass]).toEqual([0, ["unheard-of"], true]);
  });

  it("fails with exit code 1 if a number is off, and names the tensor", { timeout: 120_000 }, async () => {
    await mkdir(at("bad/checkpoints"), { recursive: true });
    await copyFile(fixture("checkpoints/single-tensor.pt"), at("bad/checkpoints/single-tensor.pt"));
    const tensor = { dtype: "float32", shape: [3, 3], sum: 0, first8: [1, 2, 3, 4, 5, 6, 7, 8] };
    const files = { "single-tensor.pt": { expect: "load", tensors: { "": tensor }, plain_values: {} } };
    await writeFile(at("bad/checkpoints/expected.json"), JSON.stringify({ files }));
    const { code, out } = await run("doctor", "--fixtures", at("bad"), "--json");
    const { cases, pass } = JSON.parse(out);
    expect([code, pass]).toEqual([1, false]);
    expect(cases).toMatchObject([{ case: "checkpoints", tensor: "single-tensor.pt:", pass: false }]);
  });

  it("fails for a folder without any fixture", { timeout: 120_000 }, async () => {
    await mkdir(at("empty"));
    const { code, err } = await run("doctor", "--fixtures", at("empty"));
    expect([code, err]).toEqual([1, expect.stringContaining("nothing was compared; give a folder of fixtures")]);
  });

  it("names remedies where no adapter fits", { timeout: 120_000 }, async () => {
    const { code, err } = await run("doctor", "--adapter", "no-such-adapter");
    expect([code, err]).toEqual([1, expect.stringContaining("remedies")]);
  });
});
