import type { ByteSink, ByteSource } from "../../engine/files/index.ts";
import { memorySource } from "../../engine/files/index.ts";
import { valueChecksum } from "./lane_checksum.ts";
import { runCheckpointFiles } from "./run_checkpoint.ts";
import type { RunStore } from "./run_store.ts";

const folder = "working";
/** Says which run the others belong to. */
const ownerFile = "run.txt";
/** What runs leave here, whole or half-written: a folder of that name may hold what is not ours. */
const isOwn = (file: string): boolean =>
  /^(run\.txt|metrics\.jsonl|classifier\.safetensors|\d+\.safetensors|\..*\.part)$/.test(file);

/** The part of a store that the one of many runs which is at work has: what it leaves there is gone when it is finished. */
export class WorkingStore implements RunStore {
  constructor(readonly store: RunStore) {}

  get name(): string {
    return `${this.store.name}/${folder}`;
  }

  /** Makes the store the run's own. @returns whether it holds a checkpoint of this run, with these settings */
  async begin(run: string, settings: object): Promise<boolean> {
    const owner = `${run} ${valueChecksum(settings)}`;
    if ((await this.readText(ownerFile)) === owner) return (await runCheckpointFiles(this)).length > 0;
    await this.clear();
    await this.writeText(ownerFile, owner);
    return false;
  }

  /** Whose the store is, and its newest checkpoint. */
  async progress(): Promise<{ readonly run: string | undefined; readonly checkpoint: string | undefined }> {
    return { run: await this.readText(ownerFile), checkpoint: (await runCheckpointFiles(this)).at(-1) };
  }

  /** Removes everything, also what a killed process left half-written. */
  async clear(): Promise<void> {
    for (const file of await this.list("checkpoints")) if (isOwn(file)) await this.remove(`checkpoints/${file}`);
    for (const file of await this.store.list(folder)) if (isOwn(file)) await this.remove(file);
  }

  readText(file: string): Promise<string | undefined> {
    return this.store.readText(`${folder}/${file}`);
  }

  writeText(file: string, text: string): Promise<void> {
    return this.store.writeText(`${folder}/${file}`, text);
  }

  appendLine(file: string, line: string): Promise<void> {
    return this.store.appendLine(`${folder}/${file}`, line);
  }

  write(file: string, content: (sink: ByteSink) => Promise<void>): Promise<void> {
    return this.store.write(`${folder}/${file}`, content);
  }

  open(file: string): Promise<ByteSource> {
    return this.store.open(`${folder}/${file}`);
  }

  list(inner: string): Promise<string[]> {
    return this.store.list(`${folder}/${inner}`);
  }

  remove(file: string): Promise<void> {
    return this.store.remove(`${folder}/${file}`);
  }
}

/** A store that keeps nothing, for runs that need not be gone on with. */
export const forgetfulStore: RunStore = {
  name: "nowhere",
  readText: async () => undefined,
  writeText: async () => undefined,
  appendLine: async () => undefined,
  write: async () => undefined,
  open: async (file) => memorySource(new Uint8Array(), file),
  list: async () => [],
  remove: async () => undefined,
};
