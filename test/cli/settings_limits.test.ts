import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { checkedSettings, readSettings } from "../../cli/program/settings.ts";
import { refineConfig, refineSchema } from "../../refiner/methods/refine/refine_config.ts";

const file = join(mkdtempSync(join(tmpdir(), "settings-")), "c.yaml");

describe("settings files", () => {
  const check = async (text: string) => {
    writeFileSync(file, text);
    const given = await readSettings(file, refineSchema);
    return checkedSettings(() => refineConfig({ ...given.values }), given);
  };

  test("of more than 64 KiB are refused before they are parsed", async () => {
    await expect(check(Array.from({ length: 150_000 }, (_, i) => `k${i}: 1`).join("\n"))).rejects.toThrow(
      "at most 65536 are read",
    );
  });
  test("with very many unknown keys name a few and count the rest", async () => {
    await expect(check(Array.from({ length: 1000 }, (_, i) => `k${i}: 1`).join("\n"))).rejects.toThrow(
      "990 more are unknown",
    );
  });
  test("of anchors within anchors are refused", async () => {
    const laughs = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(",")}]`);
    await expect(check(["a0: &a0 [1]", ...laughs].join("\n"))).rejects.toThrow("cannot be read as YAML");
  });
  test("do not take names of the prototype of objects for settings", async () => {
    for (const key of ["toString", "constructor", "__proto__", "hasOwnProperty"])
      await expect(check(`${key}: 1`)).rejects.toThrow(`there is no setting ${key}`);
  });
  test("do not take names of the prototype of objects for presets", () => {
    for (const preset of ["toString", "constructor", "__proto__", "hasOwnProperty"])
      expect(() => refineConfig({}, preset)).toThrow(`no preset ${preset}`);
  });
});
