import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

/** Bundles the decoder thread's program as the package does; inside node_modules, so that it finds sharp. */
export async function buildDecoderWorker(): Promise<URL> {
  const outfile = fileURLToPath(
    new URL(`../../../node_modules/.cache/decoder_worker_${process.pid}.mjs`, import.meta.url),
  );
  await build({
    entryPoints: [fileURLToPath(new URL("../../../refiner/data/decoding/decode_worker_node.ts", import.meta.url))],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
  });
  return pathToFileURL(outfile);
}
