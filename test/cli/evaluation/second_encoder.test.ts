import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { encodePng } from "../../../refiner/data/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { run } from "../run_command.ts";
import { cli, smallFolder, startProgram } from "../small_run.ts";

const at = await smallFolder();
const device = await testDevice();
const side = 12;

beforeAll(async () => {
  const size = { channels: 1, heightPixels: side, widthPixels: side };
  const other = randomEncoder(device, vitConfig({ patchPixels: 4, width: 24, blocks: 2, heads: 2, ...size }));
  await writeFileAtomic(at("other.safetensors"), (sink) => saveEncoder(sink, other));
  await mkdir(at("pictures"));
  await mkdir(at("masks"));
  for (let i = 0; i < 12; i++) {
    const pixels = Uint8Array.from({ length: side * side }, (_, at) => (at % side < 6 ? 200 : 20) + i);
    const raw = { width: side, height: side, channels: 1 } as const;
    await sharp(pixels, { raw })
      .png()
      .toFile(at(`pictures/${i}.png`));
    await writeMask(i, (pixel) => (pixel % side < 6 ? 1 : 0));
  }
});

async function writeMask(index: number, classOf: (pixel: number) => number): Promise<void> {
  const data = Uint8Array.from({ length: side * side }, (_, pixel) => classOf(pixel));
  await writeFile(
    at(`masks/${index}.png`),
    await encodePng(side, side, { kind: "palette", data, colours: new Uint8Array(768) }),
  );
}

const inputs = (...more: readonly string[]) => [
  ...["--weights", at("weights.safetensors"), "--images", at("images-idx3-ubyte"), "--workers", "0"],
  ...more,
];
const compared = () => ["--compare", at("other.safetensors")];

async function done(...args: readonly string[]): Promise<void> {
  const { code, err } = await run("evaluate", ...args);
  expect([code, code === 0 ? "" : err]).toEqual([0, ""]);
}

describe("a comparison", () => {
  it("leaves the clusters of the first encoder, whose option names the file", { timeout: 120_000 }, async () => {
    const clusters = (file: string) => ["--clusters", "3", "--restarts", "1", "--assignments", at(file)];
    await done("cluster", ...inputs(), ...clusters("alone.csv"));
    await done("cluster", ...inputs(), ...clusters("both.csv"), ...compared());
    expect(await readFile(at("both.csv"), "utf8")).toBe(await readFile(at("alone.csv"), "utf8"));
  });

  it("is not shown on the page of a later evaluation in the same folder", { timeout: 120_000 }, async () => {
    await done("knn", ...inputs(), "-k", "3", "--out", at("run"), ...compared());
    expect(await readFile(at("run/report.html"), "utf8")).toContain("other.safetensors");
    await done("knn", ...inputs(), "-k", "3", "--out", at("run"), "--force");
    expect(await readFile(at("run/report.html"), "utf8")).not.toContain("other.safetensors");
  });
});

describe("files that an evaluation writes", () => {
  it.each([
    ["the weights", "--weights", ["--assignments", "weights.safetensors"]],
    [
      "the predictions",
      "--predictions",
      ["--test", "images-idx3-ubyte", "--assignments", "p.csv", "--predictions", "p.csv"],
    ],
  ])("are never %s", async (_, other, options) => {
    const given = options.map((text) => (text.startsWith("--") ? text : at(text)));
    const before = await readFile(at("weights.safetensors"));
    const { code, err } = await run("evaluate", "cluster", ...inputs(), ...given, "--force");
    expect([code, err]).toEqual([
      2,
      expect.stringContaining(
        `would be written for --assignments, and is ${other} already; choose another --assignments`,
      ),
    ]);
    await expect(access(at("p.csv"))).rejects.toThrow("ENOENT");
    expect(Buffer.compare(await readFile(at("weights.safetensors")), before)).toBe(0);
  });
});

describe("an evaluation that goes on", () => {
  it("replaces the masks that it had written when its device was lost", { timeout: 120_000 }, async () => {
    const preload = new URL("../lose_devices.mjs", import.meta.url);
    const settings = ["--batch", "2", "--epochs", "1", "--rates", "0.5", "--masks", at("masks")];
    const given = inputs().map((text) => (text === at("images-idx3-ubyte") ? at("pictures") : text));
    const written = (name: string) => ["--predicted-masks", at(`${name}-masks`), "--per-class", at(`${name}.csv`)];
    const segment = (name: string) => ["evaluate", "segment", ...given, ...settings, ...written(name)];
    const losing = (submit: string, name: string) => {
      preload.search = new URLSearchParams({ at: submit }).toString();
      return startProgram(process.execPath, ["--import", preload.href, cli, ...segment(name)]).ended;
    };
    const straight = await losing("never", "straight");
    expect([straight.code, straight.code === 0 ? "" : straight.err]).toEqual([0, ""]);
    const last = /submits: (\d+)/.exec(straight.err)?.[1] ?? ""; // looks at the last image: the masks before it are written
    const lost = await losing(last, "lost");
    expect([lost.code, lost.err]).toEqual([0, expect.stringMatching(/going on from .* on a new device/)]);
    const masks = await readdir(at("straight-masks"));
    expect(masks.length).toBeGreaterThan(1);
    for (const file of [...masks.map((name) => `-masks/${name}`), ".csv"])
      expect(await readFile(at(`lost${file}`), "base64")).toBe(await readFile(at(`straight${file}`), "base64"));
  });

  it("refuses masks of other numbers", { timeout: 120_000 }, async () => {
    const settings = ["--batch", "2", "--epochs", "1", "--rates", "0.5", "--masks", at("masks"), "--out", at("masked")];
    const given = inputs().map((text) => (text === at("images-idx3-ubyte") ? at("pictures") : text));
    await done("segment", ...given, ...settings);
    await done("segment", "--resume", at("masked"));
    await writeMask(3, (pixel) => (pixel % side < 4 ? 1 : 0)); // of the same size
    const { code, err } = await run("evaluate", "segment", "--resume", at("masked"));
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/the (test masks|masks \(--masks\)) differ from those of the run/),
    ]);
  });

  it("refuses a list or a settings file that names other ones", { timeout: 120_000 }, async () => {
    const names = (indices: readonly number[]) => indices.map((i) => `${at("images-idx3-ubyte")}[${i}]\n`).join("");
    await writeFile(at("list.txt"), names([1, 2, 3, 6, 7, 8, 11, 12]));
    await done("lowshot", ...inputs(), "--subset", at("list.txt"), "--out", at("listed"));
    await writeFile(at("list.txt"), names([1, 2, 3, 6, 7, 8, 11, 13]));
    const { code, err } = await run("evaluate", "lowshot", "--resume", at("listed"));
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/list 1 of --subset \(list\.txt\) differ from those of the run/),
    ]);
  });
});
