// Loaded before the command (--import): at each moment of `after` (milliseconds from the opening of a device) all devices of the
// process are destroyed, as by a driver that is reset. A line in the file `log` for each moment at which there was one.
import { appendFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const query = new URL(import.meta.url).searchParams;
const moments = query.get("after").split(",").map(Number);
const log = query.get("log");

if (isMainThread) {
  const { globals } = await import("webgpu");
  const prototype = globals.GPUAdapter.prototype;
  const { requestDevice } = prototype;
  const alive = new Set();
  let isWaiting = false;
  prototype.requestDevice = async function (...given) {
    const device = await requestDevice.apply(this, given);
    alive.add(device);
    device.lost.then(() => alive.delete(device));
    if (!isWaiting && moments.length > 0) {
      isWaiting = true;
      setTimeout(() => {
        isWaiting = false;
        if (alive.size > 0) appendFileSync(log, "lost\n");
        for (const one of alive) one.destroy();
      }, moments.shift()).unref();
    }
    return device;
  };
}
