import type { d, TgpuBindGroupLayout, TgpuLayoutEntry } from "typegpu";
import { ValidationError } from "./errors.ts";

/** Features whose `enable` line a kernel may need; the directive comes from here because naga refuses some of them. */
export type KernelFeature =
  | "subgroups"
  | "subgroup-size-control"
  | "shader-f16"
  | "chromium-experimental-subgroup-matrix";

const directives: Readonly<Record<KernelFeature, string>> = {
  subgroups: "enable subgroups;",
  "subgroup-size-control": "enable subgroup_size_control;",
  "shader-f16": "enable f16;",
  "chromium-experimental-subgroup-matrix": "enable chromium_experimental_subgroup_matrix;",
};

/** Uniform values of one dispatch, by field name; vectors as arrays. */
export type KernelParams = Readonly<Record<string, number | readonly number[]>>;

/** A schema that TypeGPU can lay out, such as `d.struct({ rows: d.u32 })`. */
export type ParamsSchema = d.WgslStruct<Record<string, d.BaseData>>;

export interface KernelDescription {
  /** Entry point of the shader and name in listings and errors. */
  readonly name: string;
  /** WGSL text, complete except for `enable` lines. */
  readonly source: string;
  /** Uniform struct at the first binding, if the kernel has one. */
  readonly params?: ParamsSchema;
  /** All bindings of group 0 in their order. */
  readonly layout: TgpuBindGroupLayout;
  readonly features?: readonly KernelFeature[];
}

export type BindingAccess = "uniform" | "read" | "write";

export interface KernelBinding {
  readonly name: string;
  readonly binding: number;
  readonly access: BindingAccess;
}

/** A compute shader with its typed interface; made by {@link defineKernel}. */
export interface Kernel extends KernelDescription {
  readonly features: readonly KernelFeature[];
  readonly bindings: readonly KernelBinding[];
}

/** Text values of declared `const NAME` or `alias NAME` lines, by name. */
export type Declarations = Readonly<Record<string, string>>;

/**
 * Declares a kernel: plain WGSL plus the schema of its uniform and bindings.
 *
 * @throws ValidationError if the shader has no entry point of the kernel's name
 */
export function defineKernel(description: KernelDescription): Kernel {
  if (!new RegExp(`fn\\s+${description.name}\\s*\\(`).test(description.source)) {
    throw new ValidationError(
      `kernel ${description.name}: the shader has no function of that name; name the entry point after the kernel`,
    );
  }
  const bindings = Object.entries(description.layout.entries).map(([name, entry], binding) => ({
    name,
    binding,
    access: accessOf(description.name, name, entry),
  }));
  return { ...description, features: description.features ?? [], bindings };
}

function accessOf(kernel: string, name: string, entry: TgpuLayoutEntry | null): BindingAccess {
  if (entry && "uniform" in entry) return "uniform";
  if (entry && "storage" in entry) return entry.access === "mutable" ? "write" : "read";
  throw new ValidationError(
    `kernel ${kernel}: binding ${name} is neither uniform nor storage; kernels use buffers only`,
  );
}

/**
 * The text that is compiled: `enable` lines, then the source with the values of the named declarations replaced.
 *
 * @throws ValidationError if a declaration does not stand in the source
 */
export function shaderText(kernel: Kernel, declarations: Declarations = {}): string {
  let text = kernel.source;
  for (const [name, value] of Object.entries(declarations)) {
    const line = new RegExp(`^(\\s*(?:const|alias)\\s+${name}\\b[^=;]*=)[^;]*;`, "m");
    if (!line.test(text)) {
      throw new ValidationError(
        `kernel ${kernel.name}: no declared const or alias named ${name}; declare it in the shader`,
      );
    }
    text = text.replace(line, `$1 ${value};`);
  }
  const needsF16 = Object.values(declarations).some((value) => /\bf16\b/.test(value));
  const features = new Set(kernel.features);
  if (needsF16) features.add("shader-f16");
  return [...features].map((feature) => `${directives[feature]}\n`).join("") + text;
}

/** Features that a kernel with these declarations needs. */
export function requiredFeatures(kernel: Kernel, declarations: Declarations = {}): KernelFeature[] {
  const features = new Set(kernel.features);
  if (Object.values(declarations).some((value) => /\bf16\b/.test(value))) features.add("shader-f16");
  return [...features];
}
