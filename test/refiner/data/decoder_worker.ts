import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** Bundles the decoder thread's program as the package does; inside node_modules, so that it finds sharp. */
export function buildDecoderWorker(): Promise<URL> {
  return buildThreadProgram("refiner/data/decoding/decode_worker_node.ts");
}

/** The same for any thread's program. @param source - from the root of the checkout */
export async function buildThreadProgram(source: string): Promise<URL> {
  const name = source.replaceAll(/\W/g, "_");
  const outfile = fileURLToPath(new URL(`../../../node_modules/.cache/${name}_${process.pid}.mjs`, import.meta.url));
  await build({
    entryPoints: [fileURLToPath(new URL(`../../../${source}`, import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
  });
  return pathToFileURL(outfile);
}
