// npm run campaign -- [options]; see test/CAMPAIGN.md.
// Bundles campaign.ts as the package itself is bundled and runs it with Node, in the folder of the checkout.
import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../../", import.meta.url));
// Inside the checkout, so that packages are found; a file of its own per process, so that two runs do not meet.
const bundle = `${root}dist/campaign_${process.pid}.mjs`;
await build({
  absWorkingDir: root,
  entryPoints: ["test/campaign/campaign.ts"],
  outfile: bundle,
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "node",
  packages: "external",
  alias: { "#platform": `${root}engine/platform/node.ts` },
  loader: { ".wgsl": "text" },
  sourcemap: "inline",
  logLevel: "warning",
});
const child = spawn(process.execPath, ["--enable-source-maps", bundle, ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
child.on("exit", async (code, signal) => {
  await rm(bundle, { force: true });
  process.exit(signal ? 1 : (code ?? 1));
});
