import { type ByteSink, type ByteSource, memorySink } from "../../engine/files/index.ts";
import type { RunStore } from "../training/run_store.ts";
import { differingTags } from "../training/state_hash.ts";
import { compareCheckpoints, type StoredDifference } from "./compare_checkpoints.ts";
import { type HashLine, hashesFile, parsedLine, type StateLine, stateAt } from "./hash_log.ts";

/** Where a run that was computed again is not what it recorded. */
export interface RunDifference {
  readonly stage: number;
  /** Of the stage, from 1. */
  readonly update: number;
  /** Of all stages. */
  readonly updates: number;
  /** The images, the state that an update left, or a checkpoint whose state has the recorded hash. */
  readonly what: "batch" | "state" | "checkpoint";
  /** That differ, by their names in run checkpoints, as far as they are told. */
  readonly tensors: readonly string[];
  /** The first byte that differs, where the run has a checkpoint of that update. */
  readonly byte?: StoredDifference | undefined;
}

/** Ends the training at the first difference. */
export class RunDiffers extends Error {}

/**
 * The run of another store as one that goes on from one of its checkpoints: what it wrote is read, nothing is written, and what the
 * training would write is compared instead.
 */
export class VerifiedStore implements RunStore {
  readonly name: string;
  difference: RunDifference | undefined;
  /** Updates whose batch and state had the recorded hashes. */
  equal = 0;
  /** Whether the programs had the recorded digests. */
  hasSamePrograms = true;

  /** @param checkpoint - that it goes on from; undefined for the beginning */
  constructor(
    readonly run: RunStore,
    readonly lines: readonly HashLine[],
    readonly checkpoint: string | undefined,
  ) {
    this.name = run.name;
  }

  async readText(file: string): Promise<string | undefined> {
    return file === hashesFile ? this.run.readText(file) : undefined;
  }

  /** The lines of what is computed again are only dropped here. */
  async writeText(): Promise<void> {}

  async appendLine(file: string, text: string): Promise<void> {
    const line = file === hashesFile ? parsedLine(text) : undefined;
    if (line?.kind === "programs") this.#comparePrograms(line.stage, line.programs);
    if (line?.kind === "state" && line.batch !== undefined) await this.#compareState(line);
    if (line?.kind === "state" && line.batch === undefined) this.#compareStart(line);
  }

  async write(file: string, content: (sink: ByteSink) => Promise<void>): Promise<void> {
    const sink = memorySink();
    await content(sink);
    if (!(await this.run.list("checkpoints")).some((name) => file === `checkpoints/${name}`)) return;
    const byte = await compareCheckpoints(this.run, file, sink.bytes());
    if (byte === undefined) return this.#stopAtDifference();
    const updates = Number.parseInt(file.slice(file.lastIndexOf("/") + 1), 10);
    const line = this.lines.find((one): one is StateLine => one.kind === "state" && one.updates === updates);
    const { stage = 0, update = 0 } = line ?? {};
    this.difference = { what: "checkpoint", stage, update, updates, tensors: [byte.tensor], ...this.difference, byte };
    this.#stopAtDifference();
  }

  open(file: string): Promise<ByteSource> {
    return this.run.open(file);
  }

  async list(folder: string): Promise<string[]> {
    const prefix = `${folder}/`;
    return this.checkpoint?.startsWith(prefix) ? [this.checkpoint.slice(prefix.length)] : [];
  }

  async remove(): Promise<void> {}

  #comparePrograms(stage: number, programs: Readonly<Record<string, string>>): void {
    const recorded = this.lines.findLast((line) => line.kind === "programs" && line.stage === stage);
    const isSame = recorded?.kind === "programs" && JSON.stringify(recorded.programs) === JSON.stringify(programs);
    this.hasSamePrograms &&= isSame;
  }

  #compareStart(line: StateLine): void {
    const recorded = stateAt(this.lines, line);
    if (!recorded || recorded.state === line.state) return;
    this.#differ(line, recorded, "state");
    this.#stopAtDifference();
  }

  async #compareState(line: StateLine): Promise<void> {
    this.#stopAtDifference();
    const recorded = stateAt(this.lines, line);
    if (!recorded) return;
    if (recorded.batch !== line.batch) this.#differ(line, recorded, "batch");
    else if (recorded.state !== line.state) this.#differ(line, recorded, "state");
    else {
      this.equal++;
      return;
    }
    const files = await this.run.list("checkpoints");
    const isSaved = files.some((file) => Number.parseInt(file, 10) === line.updates);
    if (!isSaved) this.#stopAtDifference(); // else the checkpoint tells the byte
  }

  #differ(line: StateLine, recorded: StateLine, what: "batch" | "state"): void {
    const { stage, update, updates } = line;
    const begin = this.lines.find((one): one is StateLine => one.kind === "state" && one.stage === stage && !one.batch);
    const names = line.names ?? begin?.names ?? [];
    const tensors = what === "state" ? differingTags(names, line.tags, recorded.tags) : [];
    this.difference ??= { what, stage, update, updates, tensors };
  }

  #stopAtDifference(): void {
    if (this.difference) throw new RunDiffers();
  }
}
