// Loaded before the command (--import): with each submit of `at` (counted from 1, over all devices) every device of the process is
// destroyed, as by a driver that is reset. At the end the number of submits is told.
import process from "node:process";
import { isMainThread } from "node:worker_threads";

const moments = new URL(import.meta.url).searchParams.get("at").split(",").map(Number);

if (isMainThread) {
  const { globals } = await import("webgpu");
  const { GPUAdapter, GPUQueue } = globals;
  const { requestDevice } = GPUAdapter.prototype;
  const { submit } = GPUQueue.prototype;
  const alive = new Set();
  let submits = 0;
  GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await requestDevice.apply(this, given);
    alive.add(device);
    device.lost.then(() => alive.delete(device));
    return device;
  };
  process.on("exit", () => process.stderr.write(`submits: ${submits}\n`));
  GPUQueue.prototype.submit = function (...given) {
    submits++;
    if (moments.includes(submits)) for (const device of alive) device.destroy();
    return submit.apply(this, given);
  };
}
