import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import process from "node:process";
import { promisify } from "node:util";
import { z } from "zod";

/** A process that another one can tell from all others, also from one that got its number later. */
export const processIdentity = z.object({
  host: z.string(),
  process: z.int().positive(),
  /** When it began, as the system tells it; undefined where it tells nothing. */
  started: z.string().optional(),
});
export type ProcessIdentity = z.output<typeof processIdentity>;

export async function thisProcess(): Promise<ProcessIdentity> {
  const started = await startOf(process.pid);
  return { host: hostname(), process: process.pid, ...(started === undefined ? {} : { started }) };
}

/** Whether a process may still run: false only if this host says that it has ended. */
export async function mayRun({ host, process: id, started }: ProcessIdentity): Promise<boolean> {
  if (host !== hostname()) return true;
  if (!isThere(id)) return false;
  const now = await startOf(id);
  if (now === ended) return false;
  return now === undefined || started === undefined || now === started;
}

function isThere(id: number): boolean {
  try {
    process.kill(id, 0); // sends nothing
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH"); // EPERM: another user's
  }
}

const ended = "ended";

/** @returns `ended` for a process of which only the exit code is left */
async function startOf(id: number): Promise<string | undefined> {
  if (process.platform === "linux") return startOnLinux(id);
  if (process.platform === "win32") return undefined;
  const { stdout } = await promisify(execFile)("ps", ["-o", "lstart=", "-p", String(id)]).catch(() => ({ stdout: "" }));
  return stdout.trim() || undefined;
}

/** Ticks since the system came up (proc_pid_stat(5), field 22), and which time that it came up. */
async function startOnLinux(id: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${id}/stat`, "utf8").catch(() => undefined);
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from field 3 on: names may hold spaces and brackets
  if (fields[0] === "Z" || fields[0] === "X") return ended;
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "");
  return `${fields[19]} ${boot.trim()}`.trim();
}
