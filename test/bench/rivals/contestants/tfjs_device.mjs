import { installBrowserGlobals } from "./dawn.mjs";

/**
 * TensorFlow.js with its WebGPU backend on Dawn.
 *
 * @returns {Promise<{ tf: object, adapter: string, errors: string[] }>} `errors`: what its device reports by itself
 */
export async function openTfjs() {
  const { adapter, errors } = await installBrowserGlobals(); // before the import, which looks for navigator.gpu
  const tf = await import("@tensorflow/tfjs");
  await import("@tensorflow/tfjs-backend-webgpu");
  tf.env().set("WEBGPU_CPU_FORWARD", false); // small tensors stay on the device as well
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs cannot start its WebGPU backend");
  await tf.ready();
  return { tf, adapter, errors };
}

/** TensorFlow.js with its WebAssembly backend. */
export async function openTfjsWasm() {
  const tf = await import("@tensorflow/tfjs");
  await import("@tensorflow/tfjs-backend-wasm");
  if (!(await tf.setBackend("wasm"))) throw new Error("tfjs cannot start its WebAssembly backend");
  return { tf, adapter: undefined, errors: [] };
}

/**
 * Waits until everything that was asked for is computed. tfjs on WebGPU collects dispatches and submits 15 at a time, so the rest is
 * submitted before the wait, as its own read-back does; on WebAssembly an operation has ended when it returns.
 */
export async function finished(tf) {
  if (tf.getBackend() === "wasm") return;
  const backend = tf.backend();
  backend.ensureCommandEncoderReady();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}
