import { readdirSync, readFileSync } from "node:fs";
import { matmulKernels } from "../../../engine/ops/matmul_kernels.ts";

/** Declared types of single elements, by the names that they have in all shaders. */
const single: Readonly<Record<string, string>> = { Element: "f32", Stored: "f32", Choice: "bool", Tap: "u32" };

/**
 * Every kernel's text as it stands, but those of subgroup matrices, which the front end refuses by name, and that of single elements
 * where a text has both as declared types, by name.
 */
export function kernelTexts(): Map<string, string> {
  const files = readdirSync("shaders").filter((name) => name.endsWith(".wgsl"));
  const texts = new Map(files.map((name) => [name, readFileSync(`shaders/${name}`, "utf8")]));
  const products = matmulKernels().filter(
    ({ features }) => !features.includes("chromium-experimental-subgroup-matrix"),
  );
  for (const [i, { name, source }] of products.entries()) texts.set(`${name} ${i}`, source);
  for (const [name, text] of [...texts]) {
    if (/^alias Element = vec4f/m.test(text) && /^alias Stored = vec4f/m.test(text))
      texts.set(
        `${name} of f32`,
        text.replace(
          /^alias (Element|Stored|Choice|Tap) = [^;]*;/gm,
          (_, alias: string) => `alias ${alias} = ${single[alias]};`,
        ),
      );
  }
  return texts;
}
