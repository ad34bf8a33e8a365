import { describe, expect, it } from "vitest";
import type { GpuReport, ReportedOperation } from "../../../cli/gpu_report/report_schema.ts";
import { entryOf } from "../../../scripts/known_adapter.mjs";

const untimed = { kernelMs: null, gflops: null, gigabytesPerSecond: null, arithmeticShare: null, bandwidthShare: null };
const operation = (key: string, wallMs: readonly number[], runs = 3): ReportedOperation => {
  const variants = ["invocation", "workgroup"].map((variant, i) => {
    const error = wallMs[i] === undefined ? "out of memory" : null;
    return { ...untimed, variant, wallMs: wallMs[i] ?? null, runs: error === null ? runs : 0, error };
  });
  const fastest = [...variants].sort((a, b) => (a.wallMs ?? 1e9) - (b.wallMs ?? 1e9))[0]?.variant ?? null;
  return { operation: "softmax", key, use: "", flops: 1, bytes: 1, builtIn: "invocation", fastest, variants };
};
const report: GpuReport = {
  kind: "mimrefine GPU report",
  format: 1,
  version: "1.2.3",
  isComplete: true,
  budgetSeconds: 1,
  elapsedSeconds: 1,
  machine: { platform: "", architecture: "", runtime: "", processor: "", cores: 1, memoryBytes: 1 },
  adapter: {
    name: "a card",
    type: "discrete",
    backend: "vulkan",
    driver: "maker: 12.3",
    vendor: "maker",
    architecture: "first",
    subgroupSize: 32,
    subgroupRange: [32, 32],
    matrixConfigurations: [],
    features: [],
    limits: {},
  },
  probes: null,
  numbers: [],
  variants: { softmax: ["invocation", "workgroup"], matmul: ["shared_64"] },
  operations: [
    operation("softmax a", [2, 1]),
    operation("softmax b", [1, 0.99]),
    operation("softmax c", [2, 1], 2),
    operation("softmax d", [1]),
    operation("softmax e", []),
  ],
  tuning: null,
  steps: [],
  notDone: [],
};

describe("the entry of a known adapter", () => {
  it("holds the fastest variants, the built-in one where the gain is noise, and nothing that was hardly measured", () => {
    expect(entryOf(report, "cards", "^maker: 12")).toEqual({
      family: "cards",
      vendor: "maker",
      architecture: "first",
      driver: "^maker: 12",
      subgroupSize: 32,
      version: "1.2.3",
      variants: { softmax: ["invocation", "workgroup"] },
      choices: { "softmax a": "workgroup", "softmax b": "invocation", "softmax d": "invocation" },
    });
  });

  it("refuses a pattern that does not match the report's own driver", () => {
    expect(() => entryOf(report, "cards", "^other")).toThrow(/does not match the report's own driver maker: 12.3/);
  });
});
