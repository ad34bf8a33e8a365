import { readFileSync } from "node:fs";
import process from "node:process";
import { EngineError } from "../core/errors.ts";

/** A job of several processes that cannot be: started wrongly, or without the library that it needs. */
export class LauncherError extends EngineError {}

/** How an MPI launcher started this process. */
export interface Launched {
  readonly launcher: "Open MPI" | "MPICH" | "Slurm";
  /** From 0. */
  readonly rank: number;
  /** Processes of the job. */
  readonly size: number;
  /** Among the processes of this machine, where the launcher tells. */
  readonly localRank?: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Variables by which launchers tell a process of its place. */
const launchers = [
  {
    launcher: "Open MPI",
    size: ["OMPI_COMM_WORLD_SIZE"],
    rank: ["OMPI_COMM_WORLD_RANK"],
    local: ["OMPI_COMM_WORLD_LOCAL_RANK"],
  },
  { launcher: "MPICH", size: ["PMI_SIZE"], rank: ["PMI_RANK"], local: ["MPI_LOCALRANKID"] },
  {
    launcher: "Slurm",
    size: ["SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"],
    rank: ["PMIX_RANK", "PMI_RANK"],
    local: ["SLURM_LOCALID"],
  },
] as const;

/**
 * The launcher that started this process; undefined where none did.
 *
 * @throws LauncherError for variables that contradict each other
 */
export function launchedBy(environment: Environment = process.env): Launched | undefined {
  for (const { launcher, ...names } of launchers) {
    const [size, rank, localRank] = [names.size, names.rank, names.local].map((list) => numberOf(environment, list));
    if (size === undefined || rank === undefined) continue;
    if (rank >= size)
      throw new LauncherError(
        `${launcher}: this process is rank ${rank} of ${size}; start it by the launcher itself, without such variables from elsewhere`,
      );
    return { launcher, rank, size, ...(localRank === undefined ? {} : { localRank }) };
  }
  return undefined;
}

/** @returns whether another framework's launcher (torchrun) started this process, with no MPI below */
export function isForeignLaunch(environment: Environment = process.env): boolean {
  return (numberOf(environment, ["WORLD_SIZE"]) ?? 1) > 1 && numberOf(environment, ["RANK"]) !== undefined;
}

function numberOf(environment: Environment, names: readonly string[]): number | undefined {
  const text = names.map((name) => environment[name]).find((value) => value !== undefined);
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

const generations = 4; // launcher, npx, a shell, this process

/** Whether npx stands between a launcher and this process: it takes signals itself, and ends with a code of its own. */
export function isBehindNpx(): boolean {
  let process_ = process.ppid;
  for (let i = 0; i < generations && process_ > 1; i++) {
    const known = parentOf(process_);
    if (!known) return false;
    if (/^npm exec\b|^npx\b|[/ ]npx(-cli\.js)?( |$)/.test(known.command)) return true;
    if (/(^|[/ ])(mpirun|mpiexec|orted|prted|hydra_pmi_proxy|slurmstepd)\b/.test(known.command)) return false;
    process_ = known.parent;
  }
  return false;
}

/** By Linux's process file system; undefined elsewhere. */
function parentOf(id: number): { readonly command: string; readonly parent: number } | undefined {
  try {
    const command = readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    return { command, parent: Number(/^PPid:\s*(\d+)/m.exec(status)?.[1] ?? 0) };
  } catch {
    return undefined; // gone, or no such file system
  }
}
