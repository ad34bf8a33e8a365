// Loaded before the command (--import): the process gets the signal of the query string when the file of its lock is written and is
// to take its name.
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

const signal = new URL(import.meta.url).search.slice(1);
fs.link = () => {
  process.kill(process.pid, signal);
  return new Promise(() => setInterval(() => {}, 1000)); // nothing follows, and the process lives on until the signal comes
};
syncBuiltinESMExports();
