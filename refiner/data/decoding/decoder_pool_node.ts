import { availableParallelism } from "node:os";
import { BrokenImageError, DataOptionError } from "../errors.ts";
import type { DecodeOptions, EncodedImage, ImageDecoder, RgbImage } from "../image_source.ts";
import { decodeImage } from "./decode_node.ts";
import type { DecodeMessage } from "./decode_worker_node.ts";
import { ThreadPool, ThreadRefusal, threadFile } from "./thread_pool_node.ts";

const maxDefaultWorkers = 8; // the decoder's native threads (UV_THREADPOOL_SIZE, 4 unless set) are the next limit

export interface DecoderOptions {
  /** Decoder threads; 0 decodes without any, in the calling thread's own pool. Default `auto`: one per core but one, 1 … 8. */
  readonly workers?: number | "auto";
  /** The built file of `decode_worker_node.ts`, where bundling has moved it away from its place in the package. */
  readonly workerFile?: URL;
}

/** Threads for a setting. @throws DataOptionError if it is no count */
export function threadCount(given: number | "auto"): number {
  const workers = given === "auto" ? Math.min(Math.max(availableParallelism() - 1, 1), maxDefaultWorkers) : given;
  if (Number.isInteger(workers) && workers >= 0 && workers <= 256) return workers;
  throw new DataOptionError(`decoder: workers is ${workers}; give a whole number from 0 (no threads) to 256, or auto`);
}

/**
 * Opens the decoder of Node and Deno: worker threads that read files and decode them. Each thread holds at most two
 * requests; the others wait here, in order, and can be dropped by their signal.
 *
 * @throws DataOptionError if `workers` is no count
 * @throws DecoderError if the file of the threads' program is not found
 */
export function openDecoder(options: DecoderOptions = {}): ImageDecoder {
  const workers = threadCount(options.workers ?? "auto");
  if (workers === 0) return new CallerDecoder();
  return new DecoderPool(workers, options.workerFile ?? threadFile("decoder", "decode_worker", import.meta.url));
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
  readonly #pool: ThreadPool<DecodeMessage, RgbImage>;

  constructor(workers: number, workerFile: URL) {
    this.#pool = new ThreadPool("decoder", workers, workerFile);
  }

  async decode(name: string, encoded: EncodedImage, options: DecodeOptions): Promise<RgbImage> {
    const { channels, resizeTo, maxPixels, signal } = options;
    const message = { encoded, options: { channels, resizeTo, maxPixels } };
    return this.#pool.ask(message, { signal }).catch((error: unknown) => {
      throw error instanceof ThreadRefusal ? new BrokenImageError(name, error.message) : error;
    });
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
