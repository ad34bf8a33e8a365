import { mkdir, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { build } from "esbuild";
import { d } from "typegpu";
import { describe, expect, it } from "vitest";
import { uniformBytes } from "../../../engine/run/uniform_bytes.ts";

describe("uniform values", () => {
  const values = { count: 3, factor: 0.5, offset: [1, 2, 3] };
  // A vector of three starts at a multiple of 16 bytes (WGSL, 14.4.1).
  const words = [3, 0x3f000000, 0, 0, 1, 2, 3, 0];
  const schemaOf = (types: Pick<typeof d, "struct" | "u32" | "f32" | "vec3u">) =>
    types.struct({ count: types.u32, factor: types.f32, offset: types.vec3u });

  it("lie where WGSL wants them", { timeout: 10_000 }, () => {
    expect([...new Uint32Array(uniformBytes("kernel", schemaOf(d), values))]).toEqual(words);
  });

  it("may be described with another copy of TypeGPU", { timeout: 60_000 }, async () => {
    const folder = resolve("node_modules/.cache", `typegpu-${process.pid}`);
    const file = `${folder}/copy.mjs`;
    try {
      await mkdir(folder, { recursive: true });
      const stdin = { contents: 'export { d } from "typegpu";', resolveDir: resolve(".") };
      await build({ stdin, bundle: true, format: "esm", outfile: file, logLevel: "error" });
      const copy: { d: typeof d } = await import(file);
      expect(copy.d.f32).not.toBe(d.f32);
      expect([...new Uint32Array(uniformBytes("kernel", schemaOf(copy.d), values))]).toEqual(words);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("are numbers or vectors: another type is refused by name", { timeout: 10_000 }, () => {
    const schema = d.struct({ turn: d.mat2x2f });
    expect(() => uniformBytes("kernel", schema, { turn: [1, 0, 0, 1] })).toThrow(
      /kernel kernel: uniform field turn is a/,
    );
  });
});
