import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Tally } from "../ledger.ts";
import { Draws } from "../random.ts";
import { command, type Ended, lastWords } from "./command.ts";
import { differences, filesBelow, flipBit } from "./comparison.ts";
import { type Lane, outcome } from "./lane.ts";
import { type Training, type Trainings, trainingNames } from "./trainings.ts";

/** Processes of one run that are ended before it may come to its end. */
const killsOfRun = 6;

/** Exit codes of a command that took a signal in good order. */
const codes: Readonly<Record<string, number>> = { SIGTERM: 143, SIGHUP: 129, SIGINT: 130 };

/** Runs that are ended again and again at random moments and gone on with, one run a case. */
export async function* kills({ options, ledger, trainings }: Lane): AsyncGenerator<void> {
  const tally = ledger.tally("kills");
  while (tally.tried < options.kills) {
    const index = options.only ?? tally.next++;
    const training = await trainings.training(trainingNames[index % trainingNames.length] ?? "refine");
    const start = performance.now();
    const run = new KilledRun(training, trainings, new Draws(options.seed, "kills", index), tally);
    const faults = await run.faults(Math.min(killsOfRun, options.kills - tally.tried));
    tally.seconds += (performance.now() - start) / 1000;
    for (const text of faults)
      ledger.report(
        { part: "kills", index, kind: training.name, text },
        `--files 0 --losses 0 --disks 0 --only ${index}`,
      );
    if (faults.length === 0) tally.good++;
    yield;
    if (options.only !== undefined) return;
  }
}

class KilledRun {
  readonly out: string;
  readonly #faults: string[] = [];
  readonly #story: string[] = [];
  #metricsCount = true;

  constructor(
    readonly training: Training,
    readonly trainings: Trainings,
    readonly draws: Draws,
    readonly tally: Tally,
  ) {
    this.out = join(trainings.folder, `killed-${training.name}`);
  }

  /** Ends processes of the run that often, and then lets it come to its end. */
  async faults(times: number): Promise<readonly string[]> {
    await rm(this.out, { recursive: true, force: true });
    let isFinished = false;
    for (let i = 0; i < times && !isFinished; i++) isFinished = await this.#killed();
    if (!isFinished) await this.#ended();
    if (this.trainings.plant) await flipBit(join(this.out, this.training.result));
    const different = await differences(this.training, this.out, this.#metricsCount);
    if (different.length > 0) this.#fault(different.join(", "));
    return this.#faults;
  }

  #fault(text: string): void {
    this.#faults.push(`${text} (${this.#story.join("; ")})`);
  }

  /** The command that begins the run, or goes on with it if it has come that far. */
  get #arguments(): readonly string[] {
    return existsSync(join(this.out, "config.json")) ? this.training.resume(this.out) : this.training.begin(this.out);
  }

  /** @returns whether the run came to its end before the signal */
  async #killed(): Promise<boolean> {
    const { draws, training, trainings } = this;
    const signal = draws.below(10) < 6 ? "SIGKILL" : draws.of("SIGTERM", "SIGHUP", "SIGINT");
    const delayMs = Math.round(1000 * training.seconds * draws.share());
    const ended = await command(this.#arguments, {
      environment: trainings.environment,
      started: (kill) => void setTimeout(delayMs).then(() => kill(signal)),
    });
    this.#story.push(`${signal} after ${delayMs} ms: exit ${ended.code}`);
    if (ended.code === 0) return true;
    this.tally.tried++;
    outcome(this.tally, signal);
    await this.#checkEnd(signal, ended);
    if (signal === "SIGKILL") await this.#damage();
    return false;
  }

  /**
   * A process that took the signal itself, and not the system for it, leaves nothing half done. One that ended before the training
   * listened leaves its lock, which the next one takes over as that of an ended process.
   */
  async #checkEnd(signal: string, ended: Ended): Promise<void> {
    if (ended.code === signal) return; // SIGKILL, or before the program listened
    if (ended.code !== codes[signal]) this.#fault(`after ${signal}, ${lastWords(ended)}`);
    const left = (await filesBelow(this.out)).filter((file) =>
      (ended.err.includes("; go on with") ? /\.part$|run\.lock/ : /\.part$|run\.lock\.next/).test(file),
    );
    if (left.length > 0) this.#fault(`${left.join(", ")} left over after ${signal}`);
  }

  /** What a machine that lost its power may leave beside what a killed process does. */
  async #damage(): Promise<void> {
    const { draws, out } = this;
    const kind = draws.below(8);
    const files = (await readdir(join(out, "checkpoints")).catch(() => [])).filter((file) => /^\d/.test(file)).sort();
    const [last] = files.slice(1).reverse();
    if (kind === 0 && last !== undefined) {
      await flipBit(join(out, "checkpoints", last));
      this.#damaged(`a flipped bit in ${last}`);
    }
    const metrics = await readFile(join(out, "metrics.jsonl")).catch(() => Buffer.alloc(0));
    if (kind === 1 && metrics.length > 1) {
      const kept = metrics.subarray(0, metrics.length - 1 - draws.below(Math.min(300, metrics.length - 1)));
      await writeFile(join(out, "metrics.jsonl"), Buffer.concat([kept, Buffer.alloc(draws.below(2) * 40)]));
      this.#metricsCount = false; // lines of updates that are not made again are lost
      this.#damaged("a torn line of metrics");
    }
  }

  #damaged(text: string): void {
    this.#story.push(text);
    outcome(this.tally, text.replace(/ in .*/, ""));
  }

  async #ended(): Promise<void> {
    const ended = await command(this.#arguments, { environment: this.trainings.environment });
    this.#story.push(`to the end: exit ${ended.code}`);
    if (ended.code !== 0) this.#fault(lastWords(ended));
  }
}
