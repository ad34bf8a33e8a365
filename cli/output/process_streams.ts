import type { Writable } from "node:stream";
import type { Streams } from "./streams.ts";

/** Given to the system at once; between two pieces a reader is seen to be at work. */
const pieceBytes = 65536;

/** What says that nobody reads any more: a closed pipe, a closed connection, a closed terminal. */
const goneCodes = new Set(["EPIPE", "ECONNRESET", "EIO", "ENXIO", "ERR_STREAM_DESTROYED"]);

/**
 * A stream of this process. Pipes take 64 KiB, and the rest waits in this process for the reader: it has to stay until
 * `drained`. A reader that goes away ends nothing: what would be written then is dropped.
 */
class ProcessStream {
  /** Why nothing can be written any more. */
  failure: NodeJS.ErrnoException | undefined;
  #isSilent = false;

  /** @param onGone - called once when the reader is gone */
  constructor(
    private readonly stream: Writable,
    onGone: () => void,
  ) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (this.failure) return;
      this.failure = error;
      if (this.isReaderGone) onGone();
    });
  }

  get isReaderGone(): boolean {
    return goneCodes.has(this.failure?.code ?? "");
  }

  write(text: string): void {
    if (this.failure || this.#isSilent) return;
    const bytes = Buffer.from(text);
    for (let start = 0; start < bytes.length; start += pieceBytes)
      this.stream.write(bytes.subarray(start, start + pieceBytes));
  }

  /** Drops whatever is written from now on. */
  silence(): void {
    this.#isSilent = true;
  }

  /**
   * Settles once all that was written, also by others through the same stream, has left the process, or cannot.
   *
   * @param patienceMs - how long to wait for a reader that takes nothing
   */
  async drained(patienceMs: number): Promise<void> {
    let isDone = false;
    const done = new Promise<void>((resolve) => {
      this.stream.write("", () => {
        isDone = true;
        resolve();
      });
    });
    if (patienceMs === Number.POSITIVE_INFINITY) return done;
    for (let left = Number.POSITIVE_INFINITY; !isDone && this.stream.writableLength < left; ) {
      left = this.stream.writableLength;
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, patienceMs))]);
    }
  }
}

/** stdout and stderr of this process, which ends only through `end`: nothing that was written is lost then. */
export class ProcessStreams implements Streams {
  readonly isTerminal: boolean;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly #out: ProcessStream;
  readonly #err: ProcessStream;
  #endsWithReader = false;
  #isEnding = false;

  /** @param exit - ends the process at once */
  constructor(
    stdout: Writable,
    stderr: Writable & { readonly isTTY?: boolean },
    private readonly exit: (code: number) => void,
  ) {
    this.#out = new ProcessStream(stdout, () => this.#readerGone());
    this.#err = new ProcessStream(stderr, () => {});
    this.out = (text) => this.#out.write(text);
    this.err = (text) => this.#err.write(text);
    this.isTerminal = stderr.isTTY === true;
  }

  endWithReader(): void {
    this.#endsWithReader = true;
    this.#readerGone();
  }

  /** Whether the process is about to end and only waits for its readers. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /**
   * Ends the process once its readers have taken everything; the first call decides.
   *
   * @param code - exit code; 1 instead of 0 where results could not be written, as to a full disk
   * @param patienceMs - how long to wait for a reader that takes nothing; for ever unless given
   */
  async end(code: number, patienceMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#out.drained(patienceMs);
    const { failure, isReaderGone } = this.#out;
    const isLost = failure !== undefined && !isReaderGone;
    if (isLost) this.err(`error: the results could not be written to stdout (${failure.message})\n`);
    this.#out.silence();
    this.#err.silence();
    await this.#err.drained(patienceMs);
    this.exit(isLost && code === 0 ? 1 : code);
  }

  #readerGone(): void {
    if (this.#endsWithReader && this.#out.isReaderGone) void this.end(0);
  }
}
