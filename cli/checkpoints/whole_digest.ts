import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { Worker } from "node:worker_threads";

/** Read at a time by the calling thread, which does other things in between. */
const pieceBytes = 2 ** 20;
/** A smaller file is read sooner than a thread has started. */
const largeBytes = 16 * 2 ** 20;

/** SHA-256 of all bytes of a file, computed beside other work. */
export interface WholeDigest {
  /** In hexadecimal digits; rejected with what the system says of the file, or with the reason of `signal`. */
  readonly digest: Promise<string>;
  /** Gives it up; resolves once its thread has ended. */
  stop(): Promise<void>;
}

/**
 * Begins to read a file: by a thread of its own if it is large, since its bytes would hold up the calling thread for seconds per
 * gigabyte, and by the calling thread where threads are not to be had.
 */
export function beginWholeDigest(path: string, sizeBytes: number, workerFile = findWorkerFile()): WholeDigest {
  const stopped = new AbortController();
  const { signal } = stopped;
  const worker = sizeBytes < largeBytes ? undefined : startWorker(path, workerFile);
  const digest = worker ? digestOf(worker).catch(() => digestHere(path, signal)) : digestHere(path, signal);
  digest.catch(() => undefined); // reported to whoever awaits it
  return {
    digest,
    async stop() {
      stopped.abort(new Error(`${path}: its digest was given up`));
      await worker?.terminate();
      await digest.catch(() => undefined);
    },
  };
}

// Relative to the package's bundles (dist/cli, dist/chunks), or to this source in a checkout.
function findWorkerFile(): URL | undefined {
  const places = ["./digest_worker.js", "../cli/digest_worker.js", "../../dist/cli/digest_worker.js"];
  return places.map((place) => new URL(place, import.meta.url)).find((file) => existsSync(file));
}

function startWorker(path: string, workerFile: URL | undefined): Worker | undefined {
  try {
    return workerFile && new Worker(workerFile, { workerData: path, execArgv: [] }); // flags of the caller, such as --input-type, would stop it
  } catch {
    return undefined; // Node's permissions may forbid threads
  }
}

/** Rejected where the thread ended before it had a result. */
function digestOf(worker: Worker): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.once("message", (digest: unknown) => resolve(String(digest)));
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("the thread has ended")));
  });
}

async function digestHere(path: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const digest = createHash("sha256");
  const file = await open(path, "r");
  try {
    const piece = new Uint8Array(pieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(piece, 0, pieceBytes, null);
      signal.throwIfAborted();
      if (bytesRead === 0) return digest.digest("hex");
      digest.update(piece.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
