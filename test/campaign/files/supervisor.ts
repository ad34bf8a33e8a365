import { spawn } from "node:child_process";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { self } from "../places.ts";
import { heartbeatFile, resultFile, type SliceRequest, type SliceResult } from "./slice.ts";

/** Longest time until the first file: programs and devices are opened. */
const openingSeconds = 120;

/** A slice that a process read, with the fault that ended it, if one did. */
export interface SupervisedSlice extends SliceResult {
  readonly seconds: number;
}

/**
 * Reads a slice in a process of its own: a crash, or a file that never ends, is a fault of that file and ends only the slice.
 *
 * @param limitSeconds - longest time that one file may take
 */
export async function supervised(request: SliceRequest, limitSeconds: number): Promise<SupervisedSlice> {
  const { folder, from } = request;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const start = performance.now();
  const { code, err, isHung } = await watched(request, limitSeconds);
  const seconds = (performance.now() - start) / 1000;
  const result = await resultOf(folder);
  if (result && code === 0) return { ...result, seconds };
  const heartbeat = await readFile(join(folder, heartbeatFile), "utf8").catch(() => "");
  if (heartbeat.trim() === "") throw new Error(`campaign: the reader ${request.reader} could not be opened: ${err}`);
  const index = Number(heartbeat);
  const kind = isHung ? "hang" : "crash";
  const text = isHung
    ? `no answer for ${limitSeconds} s`
    : `the process ended with ${code}: ${err.split("\n").slice(-5).join(" | ")}`;
  const { next, outcomes, slowestMs, peakBytes, faults } = result ?? nothing(from);
  const between = index - next; // read since the process last wrote what came out
  const all = {
    ...outcomes,
    fault: (outcomes.fault ?? 0) + 1,
    ...(between > 0 ? { "not counted by kind": between } : {}),
  };
  return { next: index + 1, outcomes: all, slowestMs, peakBytes, faults: [...faults, { index, kind, text }], seconds };
}

function nothing(from: number): SliceResult {
  return { next: from, outcomes: {}, slowestMs: 0, peakBytes: 0, faults: [] };
}

async function resultOf(folder: string): Promise<SliceResult | undefined> {
  const text = await readFile(join(folder, resultFile), "utf8").catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text);
}

interface Watched {
  readonly code: number | string;
  readonly err: string;
  readonly isHung: boolean;
}

function watched(request: SliceRequest, limitSeconds: number): Promise<Watched> {
  const child = spawn(process.execPath, [self, "--slice", JSON.stringify(request)], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  let isHung = false;
  let last = { file: "", since: performance.now() };
  child.stderr.on("data", (chunk: Buffer) => {
    err = `${err}${String(chunk)}`.slice(-2000);
  });
  const watch = setInterval(async () => {
    const file = await readFile(join(request.folder, heartbeatFile), "utf8").catch(() => "");
    if (file !== last.file) last = { file, since: performance.now() };
    const limit = file === "" ? openingSeconds : limitSeconds;
    if (performance.now() - last.since < 1000 * limit) return;
    isHung = true;
    child.kill("SIGKILL");
  }, 250);
  return new Promise((resolve) => {
    child.on("close", (code, signal) => {
      clearInterval(watch);
      resolve({ code: code ?? signal ?? "nothing", err: err.trim(), isHung });
    });
  });
}
