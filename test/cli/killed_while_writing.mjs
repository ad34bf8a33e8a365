// Loaded before the command (--import): the process gets the signal of the query string (default SIGKILL) when its first file is
// written and not yet in its place.
import { open } from "node:fs/promises";
import process from "node:process";

const signal = new URL(import.meta.url).search.slice(1) || "SIGKILL";
const handle = await open("/dev/null", "w");
const prototype = Object.getPrototypeOf(handle);
await handle.close();
prototype.sync = () => {
  process.kill(process.pid, signal);
  return new Promise(() => setInterval(() => {}, 1000)); // nothing follows, and the process lives on until the signal comes
};
