// Loaded before the command (--import): files beyond the first kilobytes of a process are refused as on a full disk.
import { open } from "node:fs/promises";

const room = 20_000;
const handle = await open("/dev/null", "w");
const prototype = Object.getPrototypeOf(handle);
await handle.close();
const { write } = prototype;
let written = 0;
prototype.write = function (chunk, ...rest) {
  written += chunk.length;
  if (written > room)
    return Promise.reject(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }));
  return write.call(this, chunk, ...rest);
};
