import { create, globals } from "webgpu";

let kept; // the process aborts once the object that create() returns is collected

/**
 * Gives a library made for browsers what it looks for: `navigator.gpu`, a user agent and the WebGPU classes.
 * Errors that the library does not catch are appended to `errors`: a dispatch that never ran must not be timed.
 *
 * @returns {Promise<{ adapter: string, errors: string[] }>} the name of the adapter that the library will get
 */
export async function installBrowserGlobals() {
  kept = create([]);
  Object.assign(globalThis, globals);
  const errors = [];
  const navigator = { gpu: { requestAdapter }, userAgent: "Node.js", platform: "Node.js" };
  navigator.gpu.getPreferredCanvasFormat = () => "rgba8unorm";
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });

  async function requestAdapter(options) {
    const adapter = await kept.requestAdapter(options);
    if (!adapter) return adapter;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      device.addEventListener("uncapturederror", ({ error }) => errors.push(error.message));
      return device;
    };
    return adapter;
  }

  const adapter = await requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("Dawn finds no adapter; install a Vulkan driver (Mesa's lavapipe does) and try again");
  return { adapter: adapter.info.description || adapter.info.device || adapter.info.vendor, errors };
}
