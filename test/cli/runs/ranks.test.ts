import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { beforeAll, describe, expect, it } from "vitest";
import { run } from "../run_command.ts";
import {
  checkpoints,
  cli,
  type Ended,
  smallFolder,
  smallSettings,
  startProgram,
  waitForUpdates,
} from "../small_run.ts";

const at = await smallFolder();
const weights = () => ["--weights", at("weights.safetensors")];
const images = () => ["--images", at("images-idx3-ubyte")];
/** Of 16 images, so that two ranks and one process add up the same parts. */
const parts = ["--micro-batch", "8"];
const short = ["--stage2-epochs", "1", "--stage3-epochs", "1", "--no-evaluate", ...parts];
const minute = 60_000;

/** The launchers of this machine. In CI on Debian both are installed. */
const launchers = {
  "Open MPI": ["mpirun.openmpi", "--bind-to", "none", "--oversubscribe"],
  MPICH: ["mpiexec.hydra"],
};
const path = (process.env.PATH ?? "").split(":");
const isThere = ([program = ""]: readonly string[]): boolean =>
  path.some((folder) => existsSync(join(folder, program)));
process.env.OMPI_ALLOW_RUN_AS_ROOT = "1";
process.env.OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = "1";

function launch([program = "", ...options]: readonly string[], ranks: number, ...args: readonly string[]) {
  return startProgram(program, [...options, "-np", String(ranks), process.execPath, cli, ...args]);
}

const refineArgs = (out: string, ...more: readonly string[]): string[] => [
  ...["refine", ...weights(), ...images(), "--out", at(out), ...smallSettings, ...short, ...more],
];

async function lossesOf(out: string): Promise<number[]> {
  const text = await readFile(at(`${out}/metrics.jsonl`), "utf8");
  const lines = text.trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line)).flatMap(({ kind, loss }) => (kind === "update" ? [loss] : []));
}

/** Whether two runs left the same weights, queues and moments. */
async function expectSameBytes(out: string, reference: string): Promise<void> {
  const files = (await checkpoints(at(reference))).map((file) => `checkpoints/${file}`);
  expect((await checkpoints(at(out))).map((file) => `checkpoints/${file}`)).toEqual(files);
  for (const file of [...files, "encoder.safetensors"]) {
    const [found, expected] = await Promise.all([out, reference].map((run) => readFile(at(`${run}/${file}`))));
    expect([file, found && expected && Buffer.compare(found, expected)]).toEqual([file, 0]);
  }
}

let one: Ended;
beforeAll(async () => {
  one = await startProgram(process.execPath, [cli, ...refineArgs("one")]).ended;
}, minute);

describe.each(Object.entries(launchers))("refine on 2 ranks of %s", (name, launcher) => {
  const isSkipped = !isThere(launcher) && !process.env.CI;
  const out = `two-${name === "MPICH" ? "mpich" : "open"}`;

  it.skipIf(isSkipped)("leaves the bytes of one process", { timeout: 2 * minute }, async () => {
    expect(one.code, one.err).toBe(0);
    const { code, out: printed, err } = await launch(launcher, 2, ...refineArgs(out), "--json").ended;
    expect(code, err).toBe(0);
    expect(printed.trimEnd().split("\n")).toHaveLength(1); // the first rank's
    expect(await lossesOf(out)).toEqual(await lossesOf("one"));
    await expectSameBytes(out, "one");
    expect(await readdir(at(out))).toContain("report.html");
  });

  it.skipIf(isSkipped)(
    "ends soon when a rank is killed, and goes on with one and two",
    { timeout: 2 * minute },
    async () => {
      const killed = `killed-${out}`;
      const { child, ended } = launch(launcher, 2, ...refineArgs(killed));
      await waitForUpdates(child, at(killed), 3);
      const pid = await rankPid(child.pid ?? 0, 1);
      const start = performance.now();
      process.kill(pid, "SIGKILL");
      const { code } = await ended;
      expect(code).not.toBe(0);
      console.log(`${name}: over ${((performance.now() - start) / 1000).toFixed(1)} s after the kill`); // less than 10 s
      const resumed = launch(launcher, 2, "refine", "--resume", at(killed), "--no-evaluate");
      await waitForUpdates(resumed.child, at(killed), 7);
      resumed.child.kill("SIGUSR1");
      const stopped = await resumed.ended;
      expect([143, 0]).toContain(stopped.code); // 0 if it was done before
      const last = await startProgram(process.execPath, [cli, "refine", "--resume", at(killed), "--no-evaluate"]).ended;
      expect(last.code, last.err).toBe(0);
      expect(await lossesOf(killed)).toEqual(await lossesOf("one"));
      await expectSameBytes(killed, "one");
    },
  );
});

describe("a reproducible refine", () => {
  const mode = ["--reproducible", "--batch", "12", "--gradient-part", "2", "--micro-batch", "0"];
  const args = (out: string) => refineArgs(out, ...mode, "--stage2-epochs", "0", "--stage3-epochs", "0.5");
  const hashesOf = async (out: string): Promise<string[]> => {
    const lines = (await readFile(at(`${out}/hashes.jsonl`), "utf8")).trimEnd().split("\n");
    return lines.filter((line) => JSON.parse(line).kind === "state");
  };
  let alone: Promise<Ended> | undefined;

  it.each([
    ["Open MPI", 3],
    ["MPICH", 2],
  ] as const)(
    "leaves the hashes and bytes of one process on ranks of %s: %i",
    { timeout: 2 * minute },
    async (...on) => {
      const [name, ranks] = on;
      if (!isThere(launchers[name]) && !process.env.CI) return;
      alone ??= startProgram(process.execPath, [cli, ...args("fixed")]).ended;
      expect((await alone).code, (await alone).err).toBe(0);
      const out = `fixed-${ranks}`;
      const { code, err } = await launch(launchers[name], ranks, ...args(out)).ended;
      expect(code, err).toBe(0);
      expect(await hashesOf(out)).toEqual(await hashesOf("fixed"));
      await expectSameBytes(out, "fixed");
    },
  );
});

/** A process of a job by its rank, among all below the launcher. */
async function rankPid(launcher: number, rank: number): Promise<number> {
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const environment = await readFile(`/proc/${entry}/environ`, "utf8").catch(() => "");
    const isRank = environment
      .split("\0")
      .some((line) => line === `OMPI_COMM_WORLD_RANK=${rank}` || line === `PMI_RANK=${rank}`);
    if (isRank && (await isBelow(Number(entry), launcher))) return Number(entry);
  }
  throw new Error(`no process of rank ${rank} below ${launcher}`);
}

async function isBelow(pid: number, ancestor: number): Promise<boolean> {
  if (pid === ancestor) return true;
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const parent = Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0);
  return parent > 1 && isBelow(parent, ancestor);
}

it("one process alone loads no MPI library", { timeout: minute }, async () => {
  const { code } = await run(...refineArgs("alone", "--stage2-epochs", "0.4", "--stage3-epochs", "0"));
  expect(code).toBe(0);
  expect(await readFile("/proc/self/maps", "utf8")).not.toMatch(/libmpi/);
});

describe.each(Object.entries(launchers))("doctor on 2 ranks of %s", (_, launcher) => {
  const isSkipped = !isThere(launcher) && !process.env.CI;

  it.skipIf(isSkipped)("meets the published code's ranks, and its single process", { timeout: minute }, async () => {
    await mkdir(at("golden"), { recursive: true });
    for (const file of ["distributed.json", "distributed.safetensors"])
      await copyFile(new URL(`../../fixtures/${file}`, import.meta.url), at(`golden/${file}`));
    const { code, out, err } = await launch(launcher, 2, "doctor", "--fixtures", at("golden"), "--json").ended;
    expect(code, err).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ pass: true, reports: [{ case: "distributed", failed: 0 }] });
    expect(JSON.parse(out).cases.length).toBeGreaterThan(900);
  });
});

describe("embed", () => {
  it.each([
    ["Open MPI", 3],
    ["MPICH", 2],
  ] as const)("writes the bytes of one process on ranks of %s: %i", { timeout: 2 * minute }, async (name, ranks) => {
    if (!isThere(launchers[name]) && !process.env.CI) return;
    const args = (out: string) => ["embed", ...weights(), ...images(), "--batch", "2", "--out", at(out), "--force"];
    expect((await run(...args("alone.npy"))).code).toBe(0);
    const { code, err } = await launch(launchers[name], ranks, ...args(`rows-${ranks}.npy`)).ended;
    expect(code, err).toBe(0);
    for (const file of ["", ".files.tsv", ".json"])
      expect(await readFile(at(`rows-${ranks}.npy${file}`))).toEqual(await readFile(at(`alone.npy${file}`)));
  });
});

describe.each(Object.entries(launchers))("doctor --mpi on 2 ranks of %s", (_, launcher) => {
  const isSkipped = !isThere(launcher) && !process.env.CI;

  it.skipIf(isSkipped)("shows the ranks, checks exchanges and measures a sum", { timeout: minute }, async () => {
    const { code, out, err } = await launch(launcher, 2, "doctor", "--mpi", "--json").ended;
    expect(code, err).toBe(0);
    const found = JSON.parse(out);
    expect(found).toMatchObject({ pass: true, ranks: [{ wrong: [] }, { wrong: [] }] });
    expect(found.ranks[1].library).toMatch(/libmpi.*(Open MPI|MPICH)/i);
    expect(found.sum).toMatchObject({ bytes: 2 ** 25, wireBytes: 2 ** 25 });
  });
});

it("doctor --mpi without launcher is refused, with the line to start it by", async () => {
  const { code, err } = await run("doctor", "--mpi");
  expect(code).toBe(2);
  expect(err).toContain("mpirun -np 2 node_modules/.bin/mimrefine doctor --mpi");
});

describe("ranks that cannot be", () => {
  const isSkipped = !isThere(launchers["Open MPI"]) && !process.env.CI;
  const launcher = launchers["Open MPI"];

  it("are refused without a launcher, with the line to start them by", async () => {
    const { code, err } = await run(...refineArgs("a b", "--ranks", "2"));
    expect(code).toBe(2);
    expect(err).toContain(`mpirun -np 2 node_modules/.bin/mimrefine refine --weights ${at("weights.safetensors")}`);
    expect(err).toContain(`--out '${at("a b")}'`);
  });

  it.skipIf(isSkipped)("are refused by commands that work in one process", { timeout: minute }, async () => {
    const { code, err } = await launch(launcher, 2, "inspect", at("weights.safetensors")).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(/rank 0: error: inspect: works in one process only, and Open MPI started 2/);
    expect(err).not.toContain("rank 1");
  });

  it.skipIf(isSkipped)("are refused where they do not divide the batch", { timeout: minute }, async () => {
    const { code, err } = await launch(launcher, 3, ...refineArgs("three")).ended;
    expect(code).not.toBe(0);
    expect(err).toContain(
      "rank 0: error: refine: a batch of 16 cannot be shared evenly by 3 ranks; use a batch of 15 or 18",
    );
    expect(err).not.toContain("rank 1: ");
  });

  it.skipIf(isSkipped)(
    "are refused where one has other settings, and told by the first",
    { timeout: minute },
    async () => {
      const [program = "", ...options] = launcher;
      const half = ["-np", "1", process.execPath, cli];
      const other = refineArgs("mixed", "--temperature", "0.3");
      const { code, err } = await startProgram(program, [
        ...options,
        ...half,
        ...refineArgs("mixed"),
        ":",
        ...half,
        ...other,
      ]).ended;
      expect(code).not.toBe(0);
      expect(err).toContain("rank 0: error: refine: rank 1 has other settings, data or another version than rank 0");
    },
  );

  it.skipIf(isSkipped)("end together with the error of one, which it names", { timeout: minute }, async () => {
    const [program = "", ...options] = launcher;
    const half = ["-np", "1", process.execPath, cli];
    const missing = refineArgs("lost").map((arg) =>
      arg === at("weights.safetensors") ? at("missing.safetensors") : arg,
    );
    const { code, err } = await startProgram(program, [
      ...options,
      ...half,
      ...refineArgs("lost"),
      ":",
      ...half,
      ...missing,
    ]).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(/rank 1: error: .*missing\.safetensors/);
    expect(err).not.toContain("rank 0: ");
  });

  it.skipIf(isSkipped)("are refused behind npx", { timeout: minute }, async () => {
    // What npx looks like from below; the real one takes long to start.
    await writeFile(at("npx"), `#!/bin/sh\n"${process.execPath}" "${cli}" "$@"\nexit $?\n`, { mode: 0o755 });
    const [program = "", ...options] = launcher;
    const { code, err } = await startProgram(program, [...options, "-np", "2", at("npx"), ...refineArgs("npx")]).ended;
    expect(code).not.toBe(0);
    expect(err).toMatch(/npx stands between.*mpirun -np 2 node_modules\/.bin\/mimrefine refine/);
  });
});
