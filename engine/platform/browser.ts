import { OptionError } from "../core/errors.ts";
import type { Platform } from "./platform.ts";
import { chooseAdapter, noAdapter, noticeSoftware } from "./web.ts";

const cachePrefix = "mimrefine:";

/** Browsers: `navigator.gpu`, with `localStorage` as the cache. */
export const platform: Platform = {
  name: "browser",
  environmentAdapter: undefined,
  async openAdapter(request) {
    const opened = await chooseAdapter(globalThis.navigator?.gpu, request);
    if (!opened) throw noAdapter(request, "this browser");
    return noticeSoftware(request, opened);
  },
  waits: () => ({ during: (promise) => promise }),
  async readCache(name) {
    try {
      return globalThis.localStorage?.getItem(cachePrefix + name) ?? undefined;
    } catch {
      return undefined; // pages that may keep nothing are refused the object itself
    }
  },
  async writeCache(name, text) {
    try {
      globalThis.localStorage?.setItem(cachePrefix + name, text);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error); // no room, or not allowed
    }
  },
  async openFile(path) {
    throw new OptionError(`openFile: a browser opens no file by its path (${path}); give blobSource a File or Blob`);
  },
  async writeFile(path) {
    throw new OptionError(
      `writeFile: a browser writes no file by its path (${path}); write to memorySink() and offer a Blob of it`,
    );
  },
};
