// Loaded before the command (--import): says how many worker threads it started.
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";
import threads from "node:worker_threads";

let started = 0;
threads.Worker = class extends threads.Worker {
  constructor(...args) {
    super(...args);
    started++;
  }
};
syncBuiltinESMExports();
process.on("exit", () => process.stderr.write(`threads started: ${started}\n`));
