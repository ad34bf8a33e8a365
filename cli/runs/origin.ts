import { stat } from "node:fs/promises";
import { openCheckpoint } from "../../engine/files/index.ts";
import { runCheckpointFiles } from "../../refiner/training/run_checkpoint.ts";
import type { RunFolder } from "../../refiner/training/run_folder_node.ts";
import { beginWholeDigest, type WholeDigest } from "../checkpoints/whole_digest.ts";
import type { Output } from "../output/streams.ts";
import { UsageError } from "../program/usage_error.ts";

const key = "weightsDigest";

/** Where a run came from: the digest of all bytes of its weights, computed beside the training from when it is first asked for. */
export class Origin {
  /** Rejected with a UsageError where a resumed run came from other weights; to be awaited before the run writes anything. */
  checked: Promise<void> = Promise.resolve();
  #reading: WholeDigest | undefined;
  #digest: Promise<string | undefined> | undefined;
  #isClosed = false;

  private constructor(
    readonly weights: string,
    readonly output: Output,
    readonly found: FileState,
  ) {}

  /** To be called before the weights are loaded, so that a change after that is noticed. */
  static async of(weights: string, output: Output): Promise<Origin> {
    return new Origin(weights, output, await stateOf(weights));
  }

  /** What run checkpoints say of it. */
  readonly metadata = async (): Promise<Readonly<Record<string, string>>> => {
    const digest = await this.#ask();
    return digest === undefined ? {} : { [key]: digest };
  };

  /** Begins to compare with the newest checkpoint of a run, while others open what they need; see {@link checked}. */
  check(store: RunFolder, isOverride: boolean): void {
    this.checked = this.#compare(store, isOverride);
    this.checked.catch(() => undefined); // reported to whoever awaits it
  }

  /** Gives up what is not done; to be called at the end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#reading?.stop();
  }

  async #compare(store: RunFolder, isOverride: boolean): Promise<void> {
    const stated = await statedDigest(store);
    const found = stated === undefined ? undefined : await this.#ask();
    if (found === undefined || stated === found) return;
    const text = "resume: the weights (the digest of the whole file) differ from those of the run";
    if (!isOverride) throw new UsageError(`${text}; give the same --weights, or force it with --override`);
    this.output.warning(`${text}; going on, since --override was given`);
  }

  /** Undefined, with a warning, where the file is no longer the one that was found. */
  #ask(): Promise<string | undefined> {
    this.#digest ??= this.#read();
    return this.#digest;
  }

  async #read(): Promise<string | undefined> {
    const { weights, found } = this;
    try {
      if (!this.#isClosed) this.#reading = beginWholeDigest(weights, found.sizeBytes);
      const digest = await this.#reading?.digest;
      if ((await stateOf(weights)).id === found.id) return digest;
      this.#warn("it was changed after the run had begun to read it");
    } catch (error) {
      this.#warn(error instanceof Error ? error.message : String(error));
    }
    return undefined;
  }

  #warn(reason: string): void {
    if (this.#isClosed) return;
    const { weights, output } = this;
    output.warning(`${weights}: ${reason}; the run's checkpoints do not say which weights it came from`);
  }
}

interface FileState {
  readonly sizeBytes: number;
  /** What differs once the file was written to or replaced. */
  readonly id: string;
}

async function stateOf(path: string): Promise<FileState> {
  const { size, ino, mtimeNs } = await stat(path, { bigint: true });
  return { sizeBytes: Number(size), id: [size, ino, mtimeNs].join() };
}

/** Of the newest checkpoint that can be read; what is damaged is told when it is restored. */
async function statedDigest(store: RunFolder): Promise<string | undefined> {
  for (const file of (await runCheckpointFiles(store)).reverse()) {
    const checkpoint = await openCheckpoint(await store.open(file)).catch(() => undefined);
    if (!checkpoint) continue;
    const digest = checkpoint.metadata.get(key);
    await checkpoint.close();
    return digest;
  }
  return undefined;
}
