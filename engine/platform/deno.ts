import process from "node:process";
import { readCache, writeCache } from "./cache_node.ts";
import { fileSource, writeFileAtomic } from "./files_node.ts";
import type { Platform } from "./platform.ts";
import { chooseAdapter, noAdapter, noticeSoftware } from "./web.ts";

/** Deno: its own `navigator.gpu`. */
export const platform: Platform = {
  name: "deno",
  get environmentAdapter() {
    return process.env.MIMREFINE_ADAPTER || undefined;
  },
  async openAdapter(request) {
    const opened = await chooseAdapter(globalThis.navigator?.gpu, request);
    if (!opened) throw noAdapter(request, "Deno");
    return noticeSoftware(request, opened);
  },
  waits: () => ({ during: (promise) => promise }),
  readCache,
  writeCache,
  openFile: fileSource,
  writeFile: writeFileAtomic,
};
