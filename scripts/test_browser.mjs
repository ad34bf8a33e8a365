// Runs the engine's property tests and the embedded method in headless Chromium with its software adapter.
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { chromium } from "playwright-core";
import { bundleTests, report } from "./bundle_tests.mjs";

const only = process.argv.slice(2);
const browserPath = [
  process.env.MIMREFINE_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  chromium.executablePath(),
].find((path) => path && existsSync(path));
if (!browserPath) {
  console.log("test:browser skipped: no Chromium found; install it or name it in MIMREFINE_CHROMIUM");
  process.exit(0);
}

// WebGPU in a headless browser without a GPU, over SwiftShader, which Chromium brings along.
const flags = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
];
const minutes = 60_000;

const folder = await mkdtemp(join(tmpdir(), "mimrefine-browser-"));
const server = createServer(async (request, response) => {
  const path = join(folder, normalize(new URL(request.url ?? "/", "http://localhost").pathname));
  if (path === join(folder, "/")) {
    response.setHeader("content-type", "text/html");
    response.end("<!doctype html><title>mimrefine tests</title>");
    return;
  }
  const text = path.startsWith(folder) ? await readFile(path).catch(() => undefined) : undefined;
  response.writeHead(text ? 200 : 404, { "content-type": "text/javascript" });
  response.end(text);
});
let browser;
try {
  const names = (await bundleTests("browser", folder)).filter(
    (name) => only.length === 0 || only.some((part) => name.includes(part)),
  );
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { VK_DRIVER_FILES: _, ...env } = process.env; // the browser's own driver is meant
  browser = await chromium.launch({ executablePath: browserPath, args: flags, env });
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`page: ${error.message}`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const adapter = await page.evaluate(async () => {
    const info = (await navigator.gpu?.requestAdapter())?.info;
    return info && (info.description || `${info.vendor} ${info.architecture}`);
  });
  if (adapter === undefined) throw new Error("the browser offers no WebGPU adapter");
  console.log(`browser: ${browser.version()}, adapter ${adapter}`);
  const tallies = {};
  for (const name of names) {
    const run = page.evaluate(async (file) => {
      const { runFile } = await import("/runner.js");
      return runFile(() => import(`/${file}.js`));
    }, name);
    const limit = new Promise((_, reject) => setTimeout(reject, 5 * minutes, new Error("took over 5 minutes")).unref());
    tallies[name] = await Promise.race([run, limit]).catch((error) => ({
      passed: 0,
      skipped: 0,
      failed: [{ title: "run", message: String(error) }],
    }));
    const { passed, skipped, failed } = tallies[name];
    console.log(`${name}: ${passed} passed, ${skipped} skipped, ${failed.length} failed`);
  }
  process.exitCode = report("Chromium", tallies);
} finally {
  await browser?.close();
  server.close();
  await rm(folder, { recursive: true, force: true });
}
