import { writeSync } from "node:fs";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import type { Command } from "commander";
import { shownText } from "../../engine/core/shown.ts";
import { isBehindNpx, isForeignLaunch, type Launched, launchedBy } from "../../engine/platform/launcher_node.ts";
import { MpiWorld } from "../../engine/platform/mpi_world_node.ts";
import { type Exchange, fromFirst, oneRank } from "../../refiner/exchange/exchange.ts";
import type { Streams } from "../output/streams.ts";
import { exitCodes } from "./exit_codes.ts";
import { wholeNumber } from "./parsers.ts";
import { UsageError } from "./usage_error.ts";

/** Options of commands that work on several ranks. */
export interface RankOptions {
  readonly ranks?: number;
  /** In minutes. */
  readonly exchangeTimeout: number;
}

const defaultMinutes = 10;
/** Errors of other ranks come later than the same error of the first one, which ends all. */
const precedenceMs = 3000;
/** What a stalled job ends with: a temporary failure (sysexits.h). */
const stalledCode = 75;
const rankedCommands = new Set(["refine", "embed", "doctor"]);

const [rankCount, minutes] = [wholeNumber(1, 65536), wholeNumber(1, 10_000)];

export function addRankOptions(command: Command): Command {
  return command
    .option(
      "--ranks <number>",
      "processes that share the work, one per GPU; started by mpirun or srun, whose number of them this is compared with",
      rankCount,
    )
    .option(
      "--exchange-timeout <minutes>",
      "how long a rank waits for the others before the job is given up",
      minutes,
      defaultMinutes,
    );
}

/** The launcher and the place of this process in its job; undefined for one that works alone. */
export function launchedRank(): Launched | undefined {
  const launched = launchedBy();
  return launched && launched.size > 1 ? launched : undefined;
}

/** Where a rank writes: all but the first are silent. A launcher may give it a terminal that is none. */
export function streamsOf(launched: Launched | undefined, streams: Streams): Streams {
  if (!launched) return streams;
  if (launched.rank === 0) return { out: streams.out, err: streams.err, isTerminal: false };
  return { out: () => undefined, err: () => undefined, isTerminal: false };
}

/** @throws UsageError for a launcher that the command can do nothing with */
export function checkLauncher(name: string): void {
  const launched = launchedRank();
  if (launched && !rankedCommands.has(name))
    throw new UsageError(
      `${name}: works in one process only, and ${launched.launcher} started ${launched.size}; start it without the launcher (with several ranks: ${[...rankedCommands].join(", ")})`,
    );
  if (!launched && rankedCommands.has(name) && isForeignLaunch())
    throw new UsageError(
      `${name}: RANK and WORLD_SIZE are set, as torchrun does, and no MPI launcher is there; start it by mpirun -np N node_modules/.bin/mimrefine ${name} …`,
    );
  if (launched && isBehindNpx())
    throw new UsageError(
      `${name}: npx stands between the launcher and mimrefine, and takes its signals; start it by mpirun -np ${launched.size} node_modules/.bin/mimrefine ${name} …`,
    );
}

/** The job that this process belongs to, once it has joined. */
let joined: MpiWorld | undefined;

/**
 * Joins the job of the launcher, or makes a job of one.
 *
 * @param args - of the whole command line
 * @throws UsageError where there is no launcher for the ranks that were asked for; LauncherError
 */
export async function joinRanks(name: string, options: RankOptions, args: readonly string[]): Promise<Exchange> {
  const launched = launchedRank();
  const { ranks = launched?.size ?? 1 } = options;
  if (ranks !== (launched?.size ?? 1)) throw new UsageError(`${name}: ${wrongRanks(ranks, launched, args)}`);
  if (!launched) return oneRank;
  const patienceMs = options.exchangeTimeout * 60_000;
  const onStall = (text: string): void => {
    say(launched, text);
    endProcess(stalledCode);
  };
  joined = await MpiWorld.open(launched, { library: process.env.MPI_LIB, patienceMs, onStall });
  return joined;
}

/** Path and version of the MPI of the job that this process belongs to; empty without one. */
export function libraryOfRanks(): string {
  return joined ? `${joined.library.path}: ${joined.version}` : "";
}

function wrongRanks(ranks: number, launched: Launched | undefined, args: readonly string[]): string {
  if (launched) return `--ranks ${ranks}, but ${launched.launcher} started ${launched.size}; give both the same number`;
  const place = args.indexOf("--ranks");
  const others = args.filter((arg, i) => i !== place && i !== place + 1 && !arg.startsWith("--ranks="));
  const line = others
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`))
    .join(" ");
  return `--ranks ${ranks} needs a launcher, which starts one process per rank: mpirun -np ${ranks} node_modules/.bin/mimrefine ${line}`;
}

/** Leaves the job once all ranks are done. */
export async function leaveRanks(): Promise<void> {
  if (!joined) return;
  await joined.share("", { isPatient: true });
  joined.finish();
  joined = undefined;
}

/** Tells an error of a rank, and ends all ranks; after one of a rank that is alone, or with none, nothing. */
export async function failRank(launched: Launched, text: string, code: number): Promise<void> {
  if (launched.rank > 0) await setTimeout(precedenceMs);
  say(launched, text);
  if (joined) endProcess(code);
}

function say({ rank }: Launched, text: string): void {
  writeSync(process.stderr.fd, `rank ${rank}: ${shownText(text)}\n`);
}

/** Ends this process, and with an error all others of its job, too: those would wait for it for ever. */
export function endProcess(code: number): void {
  if (joined) joined.abort(code === 0 ? exitCodes.failure : code);
  process.exit(code);
}

/** @throws UsageError naming the first rank whose settings or data are not those of rank 0 */
export async function checkSameEverywhere(exchange: Exchange, name: string, what: unknown): Promise<void> {
  const own = JSON.stringify(what);
  const first = await fromFirst(exchange, own);
  const differing = (await exchange.share(own === first ? "" : "differs")).findIndex((text) => text !== "");
  if (differing >= 0)
    throw new UsageError(
      `${name}: rank ${differing} has other settings, data or another version than rank 0; start all ranks with the same command, package and files`,
    );
}
