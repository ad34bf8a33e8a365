import { existsSync } from "node:fs";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../engine/files/index.ts";
import { fileSource, writeFileAtomic } from "../../engine/platform/files_node.ts";
import { openStep } from "../../engine/step/load_step.ts";
import { openEncoder, writeEncoder } from "../../models/checkpoints/index.ts";
import { run } from "./run_command.ts";
import { checkpoints, cli, type Ended, smallFolder, smallSettings, start, startProgram } from "./small_run.ts";

const at = await smallFolder();
const weights = () => ["--weights", at("weights.safetensors")];
const images = () => ["--images", at("images-idx3-ubyte")];
const minute = 60_000;
const short = ["--stage2-epochs", "1", "--stage3-epochs", "1", "--k", "3"];
let done: Ended;

beforeAll(async () => {
  done = await start("refine", ...weights(), ...images(), "--out", at("run"), ...smallSettings, ...short, "--json")
    .ended;
}, 3 * minute);

describe("a finished run", () => {
  it("prints one line of JSON with exactly the documented keys", () => {
    expect([done.code, done.out.trimEnd().split("\n").length]).toEqual([0, 1]);
    const { adapter, seconds, images: count, metrics, out, ...others } = JSON.parse(done.out);
    expect(others).toEqual({});
    expect([typeof adapter, typeof seconds, count, out]).toEqual(["string", "number", 80, at("run")]);
    expect(Object.keys(metrics)).toEqual(["before", "afterStage2", "after"]);
    for (const moment of Object.values<{ knn: number[] }>(metrics)) expect(moment.knn).toHaveLength(2);
    expect(metrics.afterStage2).toEqual(metrics.before);
  });

  it("leaves a report with pictures beside the refined encoder", async () => {
    const html = await readFile(at("run/report.html"), "utf8");
    expect(html.match(/data:image\/png;base64,/g)?.length).toBeGreaterThan(20);
    expect(html).toContain("Planned device memory");
    expect(html.match(/alt="Attention in image \d (before|after)"/g)).toHaveLength(8); // of four of the six images
  });

  it("gives its update as one file, which is not replaced without --force", { timeout: minute }, async () => {
    const words = ["export-step", at("run"), "--out", at("step.mimstep")];
    const { code, out } = await run(...words, "--json");
    expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ stage: 3, update: 5, run: at("run") })]);
    const { header } = await openStep(new Uint8Array(await readFile(at("step.mimstep"))));
    expect(header.metadata).toMatchObject({ method: "refine", stage: "3", update: "5" });
    expect(Object.keys(header.state)).toContain("cls.queue.x");
    const again = await run(...words);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("--force")]);
    const none = await run("export-step", at("."), "--out", at("other.mimstep"));
    expect([none.code, none.err]).toEqual([2, expect.stringContaining("is no folder of a run")]);
  });

  it("is refused as the place of another run, which loses nothing", { timeout: minute }, async () => {
    const before = await readFile(at("run/encoder.safetensors"));
    const { code, err, out } = await start("refine", ...weights(), ...images(), "--out", at("run")).ended;
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/--resume.*--force/);
    expect(Buffer.compare(await readFile(at("run/encoder.safetensors")), before)).toBe(0);
  });
});

describe("--force", () => {
  const filesOf = async (out: string) => (await readdir(out, { recursive: true })).sort();

  it("keeps the old run where the new one cannot begin", { timeout: minute }, async () => {
    await cp(at("run"), at("kept"), { recursive: true });
    const before = await filesOf(at("kept"));
    for (const wrong of [
      ["--images", at("missing")],
      [...images(), "--batch", "81"],
    ]) {
      const { code } = await run("refine", ...weights(), ...wrong, "--out", at("kept"), "--force");
      expect([code, await filesOf(at("kept"))]).toEqual([1, before]);
    }
  });

  it("starts over, and nothing of the old run is left", { timeout: 2 * minute }, async () => {
    await cp(at("run"), at("again"), { recursive: true });
    const epochs = ["--stage2-epochs", "0.4", "--stage3-epochs", "0", "--no-evaluate", "--force"];
    const { code } = await run("refine", ...weights(), ...images(), "--out", at("again"), ...smallSettings, ...epochs);
    expect([code, await checkpoints(at("again"))]).toEqual([0, ["000000001.safetensors", "000000002.safetensors"]]);
    expect((await readFile(at("again/metrics.jsonl"), "utf8")).trimEnd().split("\n")).toHaveLength(2);
  });
});

describe("a resumed run", () => {
  it("names each setting that differs", { timeout: minute }, async () => {
    const changed = ["--batch", "8", "--temperature", "0.3", "--top-k", "4"];
    const { code, err } = await run("refine", "--resume", at("run"), ...changed);
    expect(code).toBe(2);
    for (const change of ["batch (was 16, now 8)", "temperature (was 0.2, now 0.3)"]) expect(err).toContain(change);
    expect(err).not.toContain("topK");
    expect(err).toContain("--override");
  });

  it("compares the settings of a preset, too", { timeout: minute }, async () => {
    const { code, err } = await run("refine", "--resume", at("run"), "--preset", "mae_l16");
    expect([code, /heads \(was .*now /.test(err)]).toEqual([2, true]);
  });

  it("goes on with a changed setting when it is told to", { timeout: 2 * minute }, async () => {
    const longer = ["--stage3-epochs", "2", "--override", "--json", "--no-evaluate"];
    const { code } = await run("refine", "--resume", at("run"), ...longer);
    expect(code).toBe(0);
    expect((await checkpoints(at("run"))).at(-1)).toBe("000000015.safetensors");
  });
});

describe("weights that need options", () => {
  const settings = ["--stage2-epochs", "0.4", "--stage3-epochs", "0", "--no-evaluate"];

  it("are read in the same way when the run goes on", { timeout: 2 * minute }, async () => {
    const checkpoint = await openCheckpoint(await fileSource(at("weights.safetensors")));
    const encoder = await openEncoder(checkpoint);
    const parameters = new Map([...encoder.parameters].filter(([name]) => name !== "norm.bias"));
    await writeFileAtomic(at("part.safetensors"), (sink) => writeEncoder(sink, { config: encoder.config, parameters }));
    await checkpoint.close();
    const begin = ["refine", "--weights", at("part.safetensors"), ...images(), "--out", at("part"), ...smallSettings];
    const refused = await run(...begin, ...settings);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/part\.safetensors: .*--allow-missing/)]);
    const { code } = await run(...begin, ...settings, "--allow-missing");
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(at("part/config.json"), "utf8"))).toMatchObject({ allowMissing: true });
    const resumed = await run("refine", "--resume", at("part"), "--no-evaluate");
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("missing 1 parameter: norm.bias")]);
  });
});

describe("a new run", () => {
  it("takes the seed of a settings file", { timeout: minute }, async () => {
    const widths = "projectorWidth: 16\npredictorWidth: 16\noutputWidth: 8\n";
    await writeFile(
      at("settings.yaml"),
      `seed: 7\nbatch: 16\nheads: [last]\nqueueLength: 64\ntopK: 4\nlocalViews: 0\n${widths}`,
    );
    const epochs = ["--stage2-epochs", "0.2", "--stage3-epochs", "0", "--no-evaluate"];
    const given = ["--config", at("settings.yaml"), ...epochs, "--out", at("seeded")];
    const { code } = await run("refine", ...weights(), ...images(), ...given);
    expect(code).toBe(0);
    expect(JSON.parse(await readFile(at("seeded/config.json"), "utf8")).settings.seed).toBe(7);
  });

  it.each(["weights.safetensors", "weights.safetensors/run"])("is refused where a file stands: %s", async (out) => {
    const { code, err } = await run("refine", ...weights(), ...images(), "--out", at(out));
    expect([code, err]).toEqual([2, expect.stringContaining("a file stands there or on the way; give a folder")]);
  });

  it("leaves nothing behind when its settings do not fit the data", { timeout: minute }, async () => {
    const { code, err } = await run("refine", ...weights(), ...images(), "--batch", "81", "--out", at("none"));
    expect([code, /80 images are less than one batch of 81; use a batch of at most 80/.test(err)]).toEqual([1, true]);
    await expect(readFile(at("none/config.json"))).rejects.toThrow(/ENOENT/);
  });

  it.each([
    ["a wrong key", "tempature: 1\n", /no setting tempature; did you mean temperature\?/],
    ["no YAML", "a: [1\n", /cannot be read as YAML/],
  ])("refuses a settings file with %s", { timeout: minute }, async (_, text, message) => {
    await writeFile(at("wrong.yaml"), text);
    const { code, err } = await run("refine", ...weights(), ...images(), "--config", at("wrong.yaml"));
    expect([code, message.test(err)]).toEqual([2, true]);
  });
});

it("keeps the old checkpoint when the disk is full, says so, and goes on when there is room", {
  timeout: 4 * minute,
}, async () => {
  const out = at("full");
  const started = (...args: readonly string[]) => startProgram(process.execPath, [...args, "--no-evaluate"]).ended;
  const first = [...weights(), ...images(), "--out", out, ...smallSettings];
  expect((await started(cli, "refine", ...first, "--stage2-epochs", "0.6", "--stage3-epochs", "0")).code).toBe(0);
  const before = await checkpoints(out);
  const bytes = await readFile(`${out}/checkpoints/${before.at(-1)}`);
  const longer = [cli, "refine", "--resume", out, "--stage2-epochs", "1", "--override"];
  const fullDisk = fileURLToPath(new URL("./full_disk.mjs", import.meta.url));
  const full = await started("--import", fullDisk, ...longer);
  expect([full.code, full.err]).toEqual([1, expect.stringMatching(/what was written before is intact/)]);
  expect(await checkpoints(out)).toEqual(before);
  expect(Buffer.compare(await readFile(`${out}/checkpoints/${before.at(-1)}`), bytes)).toBe(0);
  expect((await started(...longer)).code).toBe(0);
});

it.skipIf(process.platform === "win32")(
  "leaves nothing behind where there is no room for its lock, and names it",
  {
    timeout: minute,
  },
  async () => {
    const out = at("no-room/run");
    const limited = ["-c", 'ulimit -f 0; exec "$@"', "sh", process.execPath, cli]; // no file may hold a byte
    const { code, err } = await startProgram("sh", [...limited, "refine", ...weights(), ...images(), "--out", out])
      .ended;
    expect([code, err]).toEqual([
      1,
      expect.stringContaining(`error: ${out}/run.lock: the file may not become that large`),
    ]);
    expect(existsSync(at("no-room"))).toBe(false);
  },
);
