// Loaded before the command (--import): the process is killed when its first file is written and not yet in its place.
import { open } from "node:fs/promises";
import process from "node:process";

const handle = await open("/dev/null", "w");
const prototype = Object.getPrototypeOf(handle);
await handle.close();
prototype.sync = () => {
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => {}); // nothing follows
};
