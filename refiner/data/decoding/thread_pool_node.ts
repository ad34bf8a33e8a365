import { existsSync } from "node:fs";
import { type TransferListItem, Worker } from "node:worker_threads";
import { DecoderError } from "../errors.ts";

const requestsPerThread = 2; // one being worked on, one being read: measured, a third gains nothing

/** What a thread is asked. */
export interface ThreadRequest<Message> {
  readonly id: number;
  readonly message: Message;
}
/** What it answers: a result, or why there is none. */
export type ThreadReply<Result> = { readonly id: number } & ({ readonly result: Result } | { readonly reason: string });

/** A request that a thread answered with a reason. */
export class ThreadRefusal extends Error {
  override readonly name = "ThreadRefusal";
}

interface Job<Message, Result> {
  readonly message: Message;
  readonly transfer: readonly TransferListItem[];
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The file of a program for threads.
 *
 * @param pool - what messages call the threads, such as `decoder`
 * @param from - `import.meta.url` of a module in the package's bundles (dist/*.js, dist/cli/*.js), or of its source in a checkout
 * @throws DecoderError if it is not found
 */
export function threadFile(pool: string, name: string, from: string): URL {
  const places = [`./refiner/${name}.js`, `../refiner/${name}.js`, `../../../dist/refiner/${name}.js`];
  const found = places.map((place) => new URL(place, from)).find((url) => existsSync(url));
  if (found) return found;
  throw new DecoderError(
    `${pool}: dist/refiner/${name}.js is not found from ${from}; build the package, give workerFile, or set workers to 0`,
  );
}

/**
 * Worker threads that share requests. Each holds at most two of them; the others wait here, in order, and can be dropped by their
 * signal. An idle pool does not keep the process alive.
 */
export class ThreadPool<Message, Result> {
  readonly #threads: readonly Thread<Message, Result>[];
  readonly #waiting: Job<Message, Result>[] = [];
  #closed: DecoderError | undefined;

  /** @param name - what messages call it, such as `decoder` */
  constructor(
    readonly name: string,
    threads: number,
    file: URL,
  ) {
    const made = () => new Thread<Message, Result>(name, file, this.#advance, this.#fail);
    this.#threads = Array.from({ length: threads }, made);
  }

  /** @throws ThreadRefusal with the thread's reason; DecoderError where a thread stopped, or the pool was closed; the signal's reason */
  ask(
    message: Message,
    {
      transfer = [],
      signal,
    }: { readonly transfer?: readonly TransferListItem[]; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#waiting.push({ message, transfer, signal, resolve, reject });
      this.#advance();
    });
  }

  async close(): Promise<void> {
    this.#fail(
      new DecoderError(`${this.name}: it was closed before all images were done; close it after the last batch`),
    );
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  readonly #advance = (): void => {
    while (this.#waiting.length > 0) {
      const idlest = this.#threads.reduce((least, thread) => (thread.load < least.load ? thread : least));
      if (idlest.load >= requestsPerThread) return;
      const job = this.#waiting.shift();
      if (job === undefined) return;
      if (job.signal?.aborted) job.reject(job.signal.reason);
      else idlest.start(job);
    }
  };

  readonly #fail = (error: DecoderError): void => {
    this.#closed ??= error;
    for (const job of this.#waiting.splice(0)) job.reject(this.#closed);
    for (const thread of this.#threads) thread.rejectAll(this.#closed);
  };
}

class Thread<Message, Result> {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Job<Message, Result>>();
  #nextId = 0;

  constructor(pool: string, file: URL, advance: () => void, fail: (error: DecoderError) => void) {
    this.#worker = new Worker(file, { execArgv: [] }); // flags of the caller, such as --input-type, would stop it
    this.#worker.unref();
    this.#worker.on("message", (reply: ThreadReply<Result>) => {
      this.#finish(reply);
      advance();
    });
    this.#worker.on("error", (cause) => {
      fail(new DecoderError(`${pool}: a thread stopped (${cause.message}); try again with workers 0`, { cause }));
    });
  }

  /** Requests sent and not answered. */
  get load(): number {
    return this.#jobs.size;
  }

  start(job: Job<Message, Result>): void {
    const id = this.#nextId++;
    if (this.#jobs.size === 0) this.#worker.ref();
    this.#jobs.set(id, job);
    this.#worker.postMessage({ id, message: job.message } satisfies ThreadRequest<Message>, job.transfer);
  }

  rejectAll(error: DecoderError): void {
    for (const job of this.#jobs.values()) job.reject(error);
    this.#jobs.clear();
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #finish(reply: ThreadReply<Result>): void {
    const job = this.#jobs.get(reply.id);
    if (job === undefined) return; // given up meanwhile
    this.#jobs.delete(reply.id);
    if (this.#jobs.size === 0) this.#worker.unref();
    if ("result" in reply) job.resolve(reply.result);
    else job.reject(new ThreadRefusal(reply.reason));
  }
}
