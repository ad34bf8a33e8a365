import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { attentionMatrixKernels } from "../../engine/ops/attention_matrix.ts";
import { matmulKernels } from "../../engine/ops/matmul_kernels.ts";

const withoutComments = (text: string): string => text.replace(/\/\/.*$/gm, "").replace(/\/\*.*?\*\//gs, "");
const files = readdirSync("shaders").filter((name) => name.endsWith(".wgsl"));
const shaders = new Map([
  ...files.map((name): [string, string] => [name, withoutComments(readFileSync(`shaders/${name}`, "utf8"))]),
  ...[...matmulKernels(), ...attentionMatrixKernels()].map(({ name, source }, i): [string, string] => [
    `${name} ${i}`,
    withoutComments(source),
  ]),
]);

/** Texts of the functions that are no entry points, by name; white space aside. */
function functionsOf(code: string): Map<string, string> {
  const heads = [...code.matchAll(/((?:@\w+(?:\([^)]*\))?\s*)*)\bfn\s+(\w+)\s*\(/g)];
  const helpers = heads.filter(([, attributes = ""]) => !attributes.includes("@compute"));
  return new Map(
    helpers.map((head) => {
      const [, attributes = "", name = ""] = head;
      const start = head.index + attributes.length;
      return [name, code.slice(start, endOfBlock(code, code.indexOf("{", start))).replace(/\s+/g, " ")];
    }),
  );
}

/** Behind the brace that closes the one at `open`. */
function endOfBlock(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length; at++) {
    if (code[at] === "{") depth++;
    if (code[at] === "}" && --depth === 0) return at + 1;
  }
  return code.length;
}

/** By name: the files that hold each text. */
const holders = new Map<string, Map<string, string[]>>();
for (const [file, code] of shaders) {
  for (const [name, text] of functionsOf(code)) {
    const texts = holders.get(name) ?? new Map<string, string[]>();
    holders.set(name, texts.set(text, [...(texts.get(text) ?? []), file]));
  }
}

it("finds the functions that several shaders carry", () => {
  expect([...(holders.get("erf")?.values() ?? [])].flat()).toEqual(
    expect.arrayContaining(["gelu.wgsl", expect.stringMatching(/^matmul_sum/)]),
  );
  expect([...(holders.get("philox")?.values() ?? [])].flat()).toEqual([
    "choose_rank.wgsl",
    "dropout.wgsl",
    "erase_noise.wgsl",
    "random.wgsl",
  ]);
});

// A shader compiles as it stands, so what several need stands in each; what is fixed in one has to be fixed in all.
it("functions of one name have one text in all shaders", () => {
  const differing = [...holders].filter(([, texts]) => texts.size > 1);
  expect(differing.map(([name, texts]) => ({ name, files: [...texts.values()] }))).toEqual([]);
});

// WGSL's switch needs a default branch, which computes something for a number that stands in no branch.
it("no shader has a default branch", () => {
  expect([...shaders].filter(([, code]) => /\bdefault\b/.test(code)).map(([file]) => file)).toEqual([]);
});
