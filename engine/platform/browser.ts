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
  async readCache(name) {
    return globalThis.localStorage?.getItem(cachePrefix + name) ?? undefined;
  },
  async writeCache(name, text) {
    globalThis.localStorage?.setItem(cachePrefix + name, text);
  },
};
