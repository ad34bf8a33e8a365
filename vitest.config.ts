import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const textFiles = {
  name: "wgsl-as-text",
  enforce: "pre" as const,
  async load(id: string): Promise<string | undefined> {
    const path = id.split("?")[0] ?? id;
    return path.endsWith(".wgsl") ? `export default ${JSON.stringify(await readFile(path, "utf8"))};` : undefined;
  },
};

export default defineConfig({
  plugins: [textFiles],
  resolve: { alias: { "#platform": fileURLToPath(new URL("./engine/platform/node.ts", import.meta.url)) } },
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
