import { spawn, spawnSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { Ledger } from "../ledger.ts";
import { self } from "../places.ts";
import { type DiskCase, diskCases } from "./disk_cases.ts";
import { type DiskResult, FullDisk } from "./full_disk.ts";
import { type Lane, outcome } from "./lane.ts";
import { type Trainings, trainingsOf } from "./trainings.ts";

/** What the process on a disk of its own is told. */
interface DiskRequest {
  readonly work: string;
  readonly plant: boolean;
  readonly seed: number;
  readonly index: number;
}

/** Every command that writes, on a disk that is full at a random moment, one command a case. */
export async function* fullDisks({ options, ledger, trainings }: Lane): AsyncGenerator<void> {
  const tally = ledger.tally("full disks");
  if (options.disks === 0) return;
  if (!hasOwnDisks()) {
    console.log(
      "full disks: left out, for this system gives no mount namespace (unshare --user --map-root-user --mount)",
    );
    outcome(tally, "left out: no mount namespace");
    return;
  }
  const cases = await diskCases(trainings);
  const total = options.only === undefined ? Math.round(cases.length * options.disks) : tally.next + 1;
  while (tally.next < total) {
    const index = options.only ?? tally.next++;
    const one = cases[index % cases.length];
    if (!one) return;
    const start = performance.now();
    const request = { work: options.folder, plant: options.plant, seed: options.seed, index };
    await take(ledger, index, one, await onOwnDisk(request));
    tally.seconds += (performance.now() - start) / 1000;
    yield;
    if (options.only !== undefined) return;
  }
}

async function take(ledger: Ledger, index: number, { name }: DiskCase, result: DiskResult): Promise<void> {
  const tally = ledger.tally("full disks");
  tally.tried += result.tried;
  tally.refused += result.refused;
  if (result.faults.length === 0) tally.good++;
  outcome(tally, name);
  for (const text of result.faults)
    ledger.report({ part: "full disks", index, kind: name, text }, `--files 0 --kills 0 --losses 0 --only ${index}`);
}

const namespace = ["--user", "--map-root-user", "--mount"];

function hasOwnDisks(): boolean {
  return process.platform === "linux" && spawnSync("unshare", [...namespace, "true"]).status === 0;
}

/** Runs a case in a mount namespace of its own, so that its disk is seen by nobody else and goes with its last process. */
function onOwnDisk(request: DiskRequest): Promise<DiskResult> {
  const args = [...namespace, process.execPath, self, "--full-disk", JSON.stringify(request)];
  const child = spawn("unshare", args, { stdio: ["ignore", "pipe", "pipe"] });
  const text = { out: "", err: "" };
  child.stdout.on("data", (chunk: Buffer) => {
    text.out += String(chunk);
  });
  child.stderr.on("data", (chunk: Buffer) => {
    text.err += String(chunk);
  });
  return new Promise((resolve, reject) => {
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(text.out));
      else reject(new Error(`campaign: the process on a full disk ended with ${code}: ${text.err}`));
    });
  });
}

/** One case, in the namespace that `onOwnDisk` made. */
export async function diskCase(text: string): Promise<void> {
  const request: DiskRequest = JSON.parse(text);
  const { work, plant, seed, index } = request;
  const trainings: Trainings = await trainingsOf(work, { plant });
  const cases = await diskCases(trainings);
  const one = cases[index % cases.length];
  if (!one) throw new Error(`campaign: there is no case ${index}`);
  const disk = join(trainings.folder, "disk");
  await mkdir(disk, { recursive: true });
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64m", "tmpfs", disk]);
  if (mounted.status !== 0) throw new Error(`campaign: no disk could be mounted: ${String(mounted.stderr)}`);
  process.stdout.write(JSON.stringify(await new FullDisk(one, disk, trainings, seed, index).result()));
}
