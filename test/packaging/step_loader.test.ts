import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";

it("the loader of exported steps has at most 200 lines and stands alone, as written and as built", async () => {
  const source = await readFile("engine/step/load_step.ts", "utf8");
  expect(source.trimEnd().split("\n").length).toBeLessThanOrEqual(200);
  const built = await readFile("dist/step.js", "utf8").catch(() => {
    throw new Error("the package is not built; run npm run build first");
  });
  for (const text of [source, built]) expect(text).not.toMatch(/\bimport\b *[("{\w]|\brequire\(|\beval\(|\bFunction\(/);
});
