// The program of the thread that reads a whole file: an entry of its own, started by whole_digest.ts.
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";

const pieceBytes = 2 ** 20; // a thread that is stopped ends between two pieces

// On Linux the priority is the thread's own, so that the training keeps every core that it can use; elsewhere it would be the process's.
if (process.platform === "linux") setPriority(constants.priority.PRIORITY_LOW);

const digest = createHash("sha256");
const file = openSync(String(workerData), "r");
try {
  const piece = new Uint8Array(pieceBytes);
  for (let bytes = readSync(file, piece); bytes > 0; bytes = readSync(file, piece))
    digest.update(piece.subarray(0, bytes));
} finally {
  closeSync(file);
}
parentPort?.postMessage(digest.digest("hex"));
