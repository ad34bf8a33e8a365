import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

const textFiles = {
  name: "wgsl-as-text",
  enforce: "pre" as const,
  async load(id: string): Promise<string | undefined> {
    const path = id.split("?")[0] ?? id;
    return path.endsWith(".wgsl") ? `export default ${JSON.stringify(await readFile(path, "utf8"))};` : undefined;
  },
};

/** Files that count what the process holds (threads, files, memory), or replace its modules, environment, folder or user. */
const alone = [
  "test/cli/bad_images.test.ts",
  "test/cli/output/*.test.ts",
  "test/cli/runs/ranks.test.ts",
  "test/cli/runs/fingerprint.test.ts",
  "test/cli/runs/whole_digest.test.ts",
  "test/engine/kernels.test.ts",
  "test/engine/platform/*.test.ts",
  "test/engine/tune/*.test.ts",
  "test/refiner/data/decode_memory.test.ts",
  "test/refiner/training/restore_on_lost_device.test.ts",
];

/** Where files take longest. */
const dear = ["/test/cli/", "/test/packaging/", "/test/campaign/", "/test/refiner/methods/", "/test/engine/run/"];

/** Starts with the files that take longest, so that both workers end together. */
class DearFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ project, moduleId }: TestSpecification): number => {
      if (project.config.isolate) return 0; // before the others, since a shared worker ends where another kind follows
      const place = dear.findIndex((folder) => moduleId.includes(folder));
      return place < 0 ? dear.length + 1 : place + 1;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  plugins: [textFiles],
  resolve: { alias: { "#platform": fileURLToPath(new URL("./engine/platform/node.ts", import.meta.url)) } },
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    sequence: { sequencer: DearFirst },
    projects: [
      { extends: true, test: { name: "alone", include: alone } },
      // Importing the engine takes a second, most of it for every file the same: these share a worker's modules.
      { extends: true, test: { name: "together", include: ["test/**/*.test.ts"], exclude: alone, isolate: false } },
    ],
  },
});
