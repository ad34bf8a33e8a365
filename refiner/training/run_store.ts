import { type ByteSink, type ByteSource, memorySink, memorySource } from "../../engine/files/index.ts";

/** Where a run leaves its files: a folder, or memory in a browser. Names may contain one folder, `checkpoints/x`. */
export interface RunStore {
  /** What to call it in messages. */
  readonly name: string;
  readText(file: string): Promise<string | undefined>;
  /** Atomic: the old text stays if writing fails. */
  writeText(file: string, text: string): Promise<void>;
  appendLine(file: string, line: string): Promise<void>;
  /** Atomic: the old file stays if writing fails. */
  write(file: string, content: (sink: ByteSink) => Promise<void>): Promise<void>;
  open(file: string): Promise<ByteSource>;
  /** Names in a folder of the store, sorted; empty if there is none. */
  list(folder: string): Promise<string[]>;
  remove(file: string): Promise<void>;
  /**
   * Keeps others from working in the store until what it returns is called. May be asked for again by who holds it.
   *
   * @throws RunFolderError if another one works in it
   */
  hold?(): Promise<() => Promise<void>>;
}

/** A store of which another process has the charge: what is written here is dropped. */
export function readOnly(store: RunStore): RunStore {
  return {
    name: store.name,
    readText: (file) => store.readText(file),
    open: (file) => store.open(file),
    list: (folder) => store.list(folder),
    writeText: async () => undefined,
    appendLine: async () => undefined,
    write: async () => undefined,
    remove: async () => undefined,
  };
}

/** A store in memory. */
export class MemoryRunStore implements RunStore {
  readonly name = "memory";
  readonly #files = new Map<string, Uint8Array>();

  async readText(file: string): Promise<string | undefined> {
    const bytes = this.#files.get(file);
    return bytes && new TextDecoder().decode(bytes);
  }

  async writeText(file: string, text: string): Promise<void> {
    this.#files.set(file, new TextEncoder().encode(text));
  }

  async appendLine(file: string, line: string): Promise<void> {
    await this.writeText(file, `${(await this.readText(file)) ?? ""}${line}\n`);
  }

  async write(file: string, content: (sink: ByteSink) => Promise<void>): Promise<void> {
    const sink = memorySink();
    await content(sink);
    this.#files.set(file, sink.bytes());
  }

  async open(file: string): Promise<ByteSource> {
    return memorySource(this.#files.get(file) ?? new Uint8Array(), file);
  }

  async list(folder: string): Promise<string[]> {
    const prefix = `${folder}/`;
    return [...this.#files.keys()]
      .filter((file) => file.startsWith(prefix))
      .map((file) => file.slice(prefix.length))
      .sort();
  }

  async remove(file: string): Promise<void> {
    this.#files.delete(file);
  }
}
