import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { run } from "./run_command.ts";

const minutes = 60_000;

describe("refine --dry-run", () => {
  it("fits the published recipe for L/16 into 24 GB by micro-batches, without any file", {
    timeout: 5 * minutes,
  }, async () => {
    const { code, out } = await run("refine", "--preset", "mae_l16", "--dry-run", "--memory", "24GB", "--json");
    expect(code).toBe(0);
    const { fits, changes, memory } = JSON.parse(out);
    expect([fits, memory]).toEqual([false, 24e9]);
    const [{ change, plan }] = changes;
    expect(change).toEqual({ microBatch: expect.any(Number) });
    const { total, ...kinds } = plan.memory;
    expect(total).toBeLessThanOrEqual(24e9);
    expect(Object.values<number>(kinds).reduce((sum, bytes) => sum + bytes)).toBe(total);
    const settled = ["--micro-batch", String(change.microBatch)];
    const { out: text } = await run("refine", "--preset", "mae_l16", "--dry-run", "--memory", "24GB", ...settled);
    expect(text).toMatch(/^fits into 24\.0 GB/m);
  });

  it("takes the encoder from a preset that a settings file names", { timeout: 5 * minutes }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "mimrefine-dry-run-"));
    const file = join(folder, "settings.yaml");
    await writeFile(file, "preset: mae_l16\nbatch: 64\nqueueLength: 1024\nlocalViews: 2\n");
    const { code, out } = await run("refine", "--config", file, "--dry-run");
    await rm(folder, { recursive: true });
    expect([code, out]).toEqual([0, expect.stringMatching(/encoder +303\.1 M parameters/)]);
  });

  it("asks for weights where the preset tells no encoder", async () => {
    const { code, err } = await run("refine", "--preset", "small", "--dry-run");
    expect([code, err]).toEqual([2, expect.stringContaining("--weights")]);
  });
});
