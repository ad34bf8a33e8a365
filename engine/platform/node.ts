import { tmpdir } from "node:os";
import process from "node:process";
import { NoAdapterError } from "../core/errors.ts";
import { readCache, writeCache } from "./cache_node.ts";
import { fileSource, writeFileAtomic } from "./files_node.ts";
import { Naps } from "./naps_node.ts";
import { type AdapterRequest, adapterName, type OpenedAdapter, type Platform } from "./platform.ts";
import { findSwiftShader } from "./swiftshader_node.ts";
import { chooseAdapter, noAdapter, noticeSoftware } from "./web.ts";

// Dawn aborts or hangs in mapAsync once an object that create() returned is collected, so all are kept. Each has threads, a file
// handle and memory of its own that closing devices does not free, so there is one for each set of options and drivers.
const instances = new Map<string, GPU>();
/** Drivers are named by the environment, which a program may change any number of times. */
const mostInstances = 8;
/** Whether the bundled Vulkan loader was loaded, which instances from before it do not know. */
let hasOwnLoader = false;

/** Node: Dawn from the npm package `webgpu`. */
export const platform: Platform = {
  name: "node",
  get environmentAdapter() {
    return process.env.MIMREFINE_ADAPTER || undefined;
  },
  async openAdapter(request) {
    // The Vulkan loader prints a warning on every start without it.
    process.env.XDG_RUNTIME_DIR ??= tmpdir();
    const opened = (await openSystem(request)) ?? (await openSwiftShader(request));
    if (!opened) throw noAdapter(request, "Node");
    return noticeSoftware(request, opened);
  },
  waits: () => new Naps(),
  readCache,
  writeCache,
  openFile: fileSource,
  writeFile: writeFileAtomic,
};

async function openSystem(request: AdapterRequest): Promise<OpenedAdapter | undefined> {
  if (/swiftshader/i.test(request.adapter) && !process.env.VK_DRIVER_FILES && !process.env.VK_ICD_FILENAMES)
    return undefined;
  const gpu = await gpuOf(request.robust);
  const opened = await chooseAdapter(gpu, request);
  if (!opened || !compilesAtLaunch(opened.adapter)) return opened;
  return { ...opened, again: async () => (await chooseAdapter(gpu, request))?.adapter };
}

/** Mesa's software driver makes machine code of a kernel when it is first launched, and keeps it on disk. */
function compilesAtLaunch(adapter: GPUAdapter): boolean {
  return /llvmpipe/i.test(adapterName(adapter.info));
}

async function openSwiftShader(request: AdapterRequest): Promise<OpenedAdapter | undefined> {
  if (request.adapter === "hardware") return undefined;
  const driver = await findSwiftShader();
  if (!driver) return undefined;
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = driver.manifest;
  try {
    const opened = await chooseAdapter(await gpuOf(request.robust), request);
    if (opened) return opened;
    // No Vulkan loader on this system: load the bundled one, which Dawn then finds by its name.
    const { default: koffi } = await import("koffi");
    koffi.load(driver.loader, { global: true });
    hasOwnLoader = true;
    return await chooseAdapter(await gpuOf(request.robust), request);
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
}

/** @throws NoAdapterError if the environment named other drivers too often */
async function gpuOf(robust: boolean): Promise<GPU> {
  const { create } = await import("webgpu");
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES } = process.env;
  const key = JSON.stringify([robust, hasOwnLoader, VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES]);
  const found = instances.get(key);
  if (found) return found;
  if (instances.size >= mostInstances) {
    throw new NoAdapterError(
      `openDevice: the Vulkan drivers of the environment (VK_DRIVER_FILES) changed for the ${instances.size}th time in this process; a process can use ${mostInstances} sets of drivers and options: start another`,
    );
  }
  // disable_robustness: kernels are in bounds by construction; clamping costs up to 1.7 times on software adapters.
  const enabled = ["allow_unsafe_apis", ...(robust ? [] : ["disable_robustness"])];
  const gpu = create([`enable-dawn-features=${enabled.join(",")}`, "disable-dawn-features=timestamp_quantization"]);
  instances.set(key, gpu);
  return gpu;
}
