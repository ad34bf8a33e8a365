import { readdir, readFile } from "node:fs/promises";
import { tgpu } from "typegpu";
import { describe, expect, it, vi } from "vitest";
import type { Kernel, KernelDescription } from "../../engine/core/kernel.ts";
import type { Variant, VariantChoice } from "../../engine/ops/choose_variant.ts";

const kernels = vi.hoisted((): Kernel[] => []);
vi.mock("../../engine/core/kernel.ts", async (original) => {
  const module = await original<typeof import("../../engine/core/kernel.ts")>();
  const defineKernel = (description: KernelDescription): Kernel => {
    const kernel = module.defineKernel(description);
    kernels.push(kernel);
    return kernel;
  };
  return { ...module, defineKernel };
});
const withVariants = vi.hoisted((): string[] => []);
vi.mock("../../engine/ops/choose_variant.ts", async (original) => {
  const module = await original<typeof import("../../engine/ops/choose_variant.ts")>();
  const defineVariants = <Problem, V extends Variant<Problem>>(choice: VariantChoice<Problem, V>) => {
    withVariants.push(choice.operation);
    return module.defineVariants(choice);
  };
  return { ...module, defineVariants };
});

// Every kernel is declared while its module loads, but for those of products and matrices, whose texts are generated when they are asked for.
await Promise.all([import("../../engine/index.ts"), import("../../models/index.ts"), import("../../refiner/index.ts")]);
const declaredOnImport = [...kernels];
it("generates no kernel of a product or of matrices before one is asked for", () => {
  expect(declaredOnImport.filter(({ name }) => /^matmul|_matrix/.test(name))).toEqual([]);
});
(await import("../../engine/ops/matmul_kernels.ts")).matmulKernels();
(await import("../../engine/ops/attention_matrix.ts")).attentionMatrixKernels();

interface Declarations {
  /** Name to members, one normalised text. */
  readonly structs: ReadonlyMap<string, string>;
  /** Normalised texts in the order of their numbers. */
  readonly bindings: readonly string[];
}

const long: Readonly<Record<string, string>> = { f: "f32", u: "u32", i: "i32", h: "f16" };

/** Types under one name each: aliases of the file and WGSL's short forms written out. */
function spellOut(type: string, aliases: ReadonlyMap<string, string>): string {
  return type
    .replace(/\s+/g, "")
    .replace(/[A-Za-z_]\w*/g, (name) => {
      const alias = aliases.get(name);
      return alias === undefined ? name : spellOut(alias, aliases);
    })
    .replace(/\b(vec[234]|mat\dx\d)([fuih])\b/g, (_, shape: string, element: string) => `${shape}<${long[element]}>`);
}

/** The structs and bindings of a WGSL text. */
function declarationsOf(text: string): Declarations {
  const code = text.replace(/\/\/.*$/gm, "").replace(/\/\*.*?\*\//gs, "");
  const aliases = new Map(
    [...code.matchAll(/\balias\s+(\w+)\s*=\s*([^;]+);/g)].map(([, name = "", type = ""]) => [name, type]),
  );
  const structs = new Map(
    [...code.matchAll(/\bstruct\s+(\w+)\s*\{([^}]*)\}/g)].map(([, name = "", body = ""]) => {
      const members = body
        .split(/,(?![^<]*>)/)
        .map((member) => member.trim())
        .filter(Boolean);
      return [
        name,
        members
          .map((member) => member.replace(/:\s*(.*)$/s, (_, type: string) => `: ${spellOut(type, aliases)}`))
          .join(", "),
      ];
    }),
  );
  const binding = /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<([^>]+)>\s*(\w+)\s*:\s*([^;]+);/g;
  const bindings = [...code.matchAll(binding)].map(([, group, index, space = "", name, type = ""]) => {
    const access = space.replace(/\s+/g, "");
    return `${group}.${index} ${access === "storage" ? "storage,read" : access} ${name}: ${spellOut(type, aliases)}`;
  });
  return { structs, bindings: bindings.sort() };
}

/** What TypeGPU makes of the schema. It numbers names that WGSL has built-in functions for, which a shader may hide. */
function schemaOf(kernel: Kernel): Declarations {
  const uses = Object.keys(kernel.layout.entries).map((name) => `_ = layout.$.${name};`);
  const template = `fn use() { ${uses.join(" ")} }`;
  const { structs, bindings } = declarationsOf(
    tgpu.resolve({ template, externals: { layout: kernel.layout }, names: "strict" }),
  );
  return { structs, bindings: bindings.map((text) => text.replace(/ (step)_1:/, " $1:")) };
}

describe.each(kernels.map((kernel): [string, Kernel] => [kernel.name, kernel]))("kernel %s", (_name, kernel) => {
  const inFile = declarationsOf(kernel.source);
  const inSchema = schemaOf(kernel);

  it("declares the bindings of its schema", () => {
    expect(inFile.bindings).toEqual(inSchema.bindings);
  });

  it("declares the structs of its schema", () => {
    for (const [name, members] of inSchema.structs)
      expect(`${name} { ${inFile.structs.get(name)} }`).toBe(`${name} { ${members} }`);
  });

  it("binds at most eight storage buffers, WebGPU's default limit", () => {
    expect(kernel.bindings.filter(({ access }) => access !== "uniform").length).toBeLessThanOrEqual(8);
  });
});

it("every shader file belongs to a declared kernel", async () => {
  const files = (await readdir("shaders")).filter((name) => name.endsWith(".wgsl"));
  const texts = await Promise.all(files.map((name) => readFile(`shaders/${name}`, "utf8")));
  const sources = new Set(kernels.map(({ source }) => source));
  expect(files.filter((_, i) => !sources.has(texts[i] ?? ""))).toEqual([]);
});

it("every operation with variants has a recording, whose candidates choose_variant.test.ts compares", async () => {
  const { recordings } = await import("./ops/variant_recordings.ts");
  expect([...withVariants].sort()).toEqual(Object.keys(recordings).sort());
});
