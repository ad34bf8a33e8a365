import { existsSync, openSync, statfsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Draws } from "../random.ts";
import { command, type Ended, lastWords } from "./command.ts";
import { filesBelow, flipBit } from "./comparison.ts";
import type { DiskCase } from "./disk_cases.ts";
import type { Trainings } from "./trainings.ts";

/** What came out of one command on full disks. */
export interface DiskResult {
  /** Times that the disk was full. */
  readonly tried: number;
  /** Times that the command ended with an error that names file and cause. */
  readonly refused: number;
  readonly faults: readonly string[];
}

const older = "an older output\n";
const ballast = "ballast";
const pageBytes = 4096;
/** Whether it was written as a whole before the disk was full. */
function isWholeJson(file: string, text: string): boolean {
  if (!file.endsWith(".json")) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Exit code of a command that SIGINT ended. */
const interrupted = 130;
/** Moments at which a disk is full that are tried with each command; a run goes on after each of them. */
const usualMoments = 3;

/** A command on a disk of its own that is full at random moments, and then has space again. */
export class FullDisk {
  readonly #faults: string[] = [];
  readonly #draws: Draws;
  readonly #right: string;
  #story = "";
  #tried = 0;
  #refused = 0;

  constructor(
    readonly one: DiskCase,
    readonly disk: string,
    readonly trainings: Trainings,
    seed: number,
    index: number,
  ) {
    this.#draws = new Draws(seed, "disks", index);
    this.#right = join(trainings.folder, "right", one.name);
  }

  async result(): Promise<DiskResult> {
    const { one, disk } = this;
    const needed = one.neededBytes ?? (await this.#neededBytes());
    if (one.replaces) for (const file of [...one.same, ...one.other]) await writeFile(join(disk, file), older);
    for (let i = 0; i < (one.moments ?? usualMoments); i++) await this.#full(needed);
    if (one.goesOn === undefined) await this.#withSpace();
    return { tried: this.#tried, refused: this.#refused, faults: this.#faults };
  }

  #fault(text: string): void {
    this.#faults.push(`${text} (${this.#story})`);
  }

  /** Runs the command with room, once for all cases, and keeps what it writes. */
  async #neededBytes(): Promise<number> {
    const { one, disk } = this;
    if (!existsSync(this.#right)) {
      const ended = await this.#run(one.write(disk));
      if (ended.code !== 0) throw new Error(`campaign: ${one.name} failed with room: ${lastWords(ended)}`);
      for (const file of await filesBelow(disk)) {
        await mkdir(dirname(join(this.#right, file)), { recursive: true });
        await cp(join(disk, file), join(this.#right, file));
        await rm(join(disk, file));
      }
      await rm(join(disk, "run"), { recursive: true, force: true });
    }
    const sizes = await Promise.all((await filesBelow(this.#right)).map((file) => readFile(join(this.#right, file))));
    return sizes.reduce((sum, { length }) => sum + Math.ceil(length / pageBytes) * pageBytes, 0);
  }

  /** @param interruptMs - after which a signal ends the command */
  #run(args: readonly string[], interruptMs?: number): Promise<Ended> {
    const { one, disk, trainings } = this;
    const environment = one.goesOn ? { MIMREFINE_CACHE: join(disk, "cache") } : trainings.environment;
    const [file = ""] = one.same;
    const started = (kill: (signal: NodeJS.Signals) => void): void => {
      if (interruptMs !== undefined) setTimeout(() => kill("SIGINT"), interruptMs);
    };
    return command(args, {
      environment,
      started,
      ...(one.toStdout ? { stdout: openSync(join(disk, file), "w") } : {}),
    });
  }

  /** The command that begins a run, or goes on with it. */
  get #arguments(): readonly string[] {
    const { one, disk } = this;
    const isBegun = ["run", "demo"].some((run) => existsSync(join(disk, run, "config.json")));
    return (isBegun ? one.resume : undefined)?.(disk) ?? one.write(disk);
  }

  /** Once on a disk with less room than the command needs. */
  async #full(needed: number): Promise<void> {
    const { one } = this;
    // None at all in part, for what is written first.
    const pages = this.#draws.below(4) === 0 ? 0 : this.#draws.below(Math.floor(needed / pageBytes));
    const room = pages * pageBytes;
    await this.#fill(room);
    const ended = await this.#run(this.#arguments);
    await rm(join(this.disk, ballast));
    this.#story += `${this.#story === "" ? "" : "; "}${room} of ${needed} bytes: exit ${ended.code}`;
    if (one.goesOn) return this.#checkGoesOn(ended);
    if (ended.code === 0) return; // it needed less than this
    this.#tried++;
    await this.#checkEnd(ended);
  }

  async #fill(room: number): Promise<void> {
    const { bavail, bsize } = statfsSync(this.disk);
    await writeFile(join(this.disk, ballast), Buffer.alloc(Math.max(0, bavail * bsize - room)));
  }

  async #checkGoesOn(ended: Ended): Promise<void> {
    this.#tried++;
    const left = await filesBelow(this.disk);
    if (ended.code !== 0) this.#fault(lastWords(ended));
    else if (left.length === 0 && this.one.goesOn?.test(ended.err) === false)
      this.#fault("not a word of what is missing");
    else this.#refused++;
    const parts = left.filter((file) => file.endsWith(".part"));
    if (parts.length > 0) this.#fault(`${parts.join(", ")} left over`);
  }

  async #checkEnd(ended: Ended): Promise<void> {
    const { one, disk } = this;
    const before = this.#faults.length;
    const named = one.toStdout ? "stdout" : disk;
    if (ended.code !== 1) this.#fault(`expected exit 1: ${lastWords(ended)}`);
    else if (!/the disk is full|ENOSPC/.test(ended.err)) this.#fault(`the cause is not told: ${lastWords(ended)}`);
    else if (!ended.err.includes(named)) this.#fault(`the file is not named: ${lastWords(ended)}`);
    const left = (await filesBelow(disk)).filter((file) => /\.(part|rows)$|run\.lock/.test(file));
    if (left.length > 0) this.#fault(`${left.join(", ")} left over`);
    if (one.replaces) await this.#checkOlder();
    if (this.#faults.length === before) this.#refused++;
  }

  /** Outputs are the older ones, or of a command that had written them before the disk was full; never a mixture of both. */
  async #checkOlder(): Promise<void> {
    const { one, disk } = this;
    for (const file of [...one.same, ...one.other]) {
      const text = await readFile(join(disk, file), "utf8").catch(() => undefined);
      if (text !== older && !(text !== undefined && one.other.includes(file) && isWholeJson(file, text)))
        this.#fault(`${file} is ${text === undefined ? "gone" : "not the older output any more"}`);
      await writeFile(join(disk, file), older);
    }
  }

  /** With space again the command comes to its right end. */
  async #withSpace(): Promise<void> {
    const { one, disk, trainings } = this;
    const ended = await this.#run(this.#arguments, one.goesOnMs);
    this.#story += `; with space: exit ${ended.code}`;
    const isEndedEarly = one.goesOnMs !== undefined && ended.code === interrupted;
    if (ended.code !== 0 && !isEndedEarly) return this.#fault(lastWords(ended));
    const [first] = one.same;
    if (trainings.plant && first !== undefined) await flipBit(join(disk, first));
    for (const file of one.same) {
      const [right, now] = await Promise.all(
        [this.#right, disk].map((folder) => readFile(join(folder, file)).catch(() => undefined)),
      );
      if (!right || !now?.equals(right)) this.#fault(`${file} has other bytes than with room`);
    }
    const found = await filesBelow(disk);
    const missing = one.other.filter((file) => !found.includes(file));
    if (missing.length > 0) this.#fault(`${missing.join(", ")} missing`);
    const left = found.filter((file) => (isEndedEarly ? /\.(part|rows)$/ : /\.(part|rows)$|run\.lock/).test(file));
    if (left.length > 0) this.#fault(`${left.join(", ")} left over`);
  }
}
