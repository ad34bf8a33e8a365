import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { BrokenImageError, DataOptionError, DecoderError } from "../errors.ts";
import type { DecodeOptions, EncodedImage, ImageDecoder, RgbImage } from "../image_source.ts";
import { decodeImage } from "./decode_node.ts";
import type { DecodeReply, DecodeRequest } from "./decode_worker_node.ts";

const requestsPerWorker = 2; // one being decoded, one being read: measured, a third gains nothing
const maxDefaultWorkers = 8; // the decoder's native threads (UV_THREADPOOL_SIZE, 4 unless set) are the next limit

export interface DecoderOptions {
  /** Decoder threads; 0 decodes without any, in the calling thread's own pool. Default `auto`: one per core but one, 1 … 8. */
  readonly workers?: number | "auto";
  /** The built file of `decode_worker_node.ts`, where bundling has moved it away from its place in the package. */
  readonly workerFile?: URL;
}

interface Job {
  readonly name: string;
  readonly encoded: EncodedImage;
  readonly options: DecodeOptions;
  readonly resolve: (image: RgbImage) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Opens the decoder of Node and Deno: worker threads that read files and decode them. Each thread holds at most two
 * requests; the others wait here, in order, and can be dropped by their signal.
 *
 * @throws DataOptionError if `workers` is no count
 * @throws DecoderError if the file of the threads' program is not found
 */
export function openDecoder(options: DecoderOptions = {}): ImageDecoder {
  const { workers: given = "auto" } = options;
  const workers = given === "auto" ? Math.min(Math.max(availableParallelism() - 1, 1), maxDefaultWorkers) : given;
  if (!Number.isInteger(workers) || workers < 0 || workers > 256) {
    throw new DataOptionError(
      `decoder: workers is ${workers}; give a whole number from 0 (no threads) to 256, or auto`,
    );
  }
  return workers === 0 ? new CallerDecoder() : new DecoderPool(workers, options.workerFile ?? findWorkerFile());
}

// Relative to this module in the package's bundles (dist/*.js, dist/cli/*.js), or to its source in a checkout.
function findWorkerFile(): URL {
  const places = [
    "./refiner/decode_worker.js",
    "../refiner/decode_worker.js",
    "../../../dist/refiner/decode_worker.js",
  ];
  const found = places.map((place) => new URL(place, import.meta.url)).find((url) => existsSync(url));
  if (found) return found;
  throw new DecoderError(
    `decoder: dist/refiner/decode_worker.js is not found from ${import.meta.url}; build the package, give workerFile, or set workers to 0`,
  );
}

class CallerDecoder implements ImageDecoder {
  async decode(name: string, encoded: EncodedImage, options: DecodeOptions): Promise<RgbImage> {
    options.signal?.throwIfAborted();
    try {
      return await decodeImage(encoded, options);
    } catch (error) {
      throw new BrokenImageError(name, error instanceof Error ? error.message : String(error));
    }
  }

  async close(): Promise<void> {}
}

class DecoderPool implements ImageDecoder {
  readonly #threads: readonly DecoderThread[];
  readonly #waiting: Job[] = [];
  #closed: DecoderError | undefined;

  constructor(workers: number, workerFile: URL) {
    this.#threads = Array.from({ length: workers }, () => new DecoderThread(workerFile, this.#advance, this.#fail));
  }

  decode(name: string, encoded: EncodedImage, options: DecodeOptions): Promise<RgbImage> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#waiting.push({ name, encoded, options, resolve, reject });
      this.#advance();
    });
  }

  async close(): Promise<void> {
    this.#fail(new DecoderError("decoder: it was closed before the image was decoded; close it after the last batch"));
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  readonly #advance = (): void => {
    while (this.#waiting.length > 0) {
      const idlest = this.#threads.reduce((least, thread) => (thread.load < least.load ? thread : least));
      if (idlest.load >= requestsPerWorker) return;
      const job = this.#waiting.shift();
      if (job === undefined) return;
      if (job.options.signal?.aborted) job.reject(job.options.signal.reason);
      else idlest.start(job);
    }
  };

  readonly #fail = (error: DecoderError): void => {
    this.#closed ??= error;
    for (const job of this.#waiting.splice(0)) job.reject(this.#closed);
    for (const thread of this.#threads) thread.rejectAll(this.#closed);
  };
}

class DecoderThread {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Job>();
  #nextId = 0;

  constructor(workerFile: URL, advance: () => void, fail: (error: DecoderError) => void) {
    this.#worker = new Worker(workerFile, { execArgv: [] }); // flags of the caller, such as --input-type, would stop it
    this.#worker.unref(); // an idle decoder does not keep the process alive
    this.#worker.on("message", (reply: DecodeReply) => {
      this.#finish(reply);
      advance();
    });
    this.#worker.on("error", (cause) => {
      fail(new DecoderError(`decoder: a thread stopped (${cause.message}); try again with workers 0`, { cause }));
    });
  }

  /** Requests sent and not answered. */
  get load(): number {
    return this.#jobs.size;
  }

  start(job: Job): void {
    const id = this.#nextId++;
    const { channels, resizeTo, maxPixels } = job.options;
    if (this.#jobs.size === 0) this.#worker.ref();
    this.#jobs.set(id, job);
    this.#worker.postMessage({
      id,
      encoded: job.encoded,
      options: { channels, resizeTo, maxPixels },
    } satisfies DecodeRequest);
  }

  rejectAll(error: DecoderError): void {
    for (const job of this.#jobs.values()) job.reject(error);
    this.#jobs.clear();
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #finish(reply: DecodeReply): void {
    const job = this.#jobs.get(reply.id);
    if (job === undefined) return; // given up meanwhile
    this.#jobs.delete(reply.id);
    if (this.#jobs.size === 0) this.#worker.unref();
    if ("image" in reply) job.resolve(reply.image);
    else job.reject(new BrokenImageError(job.name, reply.reason));
  }
}
