import { d, tgpu } from "typegpu";
import { defineKernel, type Kernel, type KernelFeature } from "../../core/kernel.ts";
import { type MatrixOperand, matrixText } from "./matrix_text.ts";
import type { MatrixTiling } from "./matrix_tiling.ts";
import type { LeftLoads, ProductForm } from "./product_form.ts";
import { registerText } from "./register_text.ts";
import { sharedText } from "./shared_text.ts";
import { subgroupText } from "./subgroup_text.ts";
import { sumText } from "./sum_text.ts";

const Params = d
  .struct({
    rows: d.u32,
    columns: d.u32,
    depth: d.u32,
    parts: d.u32,
    splits: d.u32,
    splitDepth: d.u32,
    aRow: d.u32,
    aDepth: d.u32,
    aBatch: d.u32,
    bDepth: d.u32,
    bColumn: d.u32,
    bBatch: d.u32,
  })
  .$name("Params");

type Element = typeof d.f32 | typeof d.vec4f;

const layoutOf = (left: Element, others: Element) =>
  tgpu.bindGroupLayout({
    params: { uniform: Params },
    a: { storage: d.arrayOf(left) },
    b: { storage: d.arrayOf(others) },
    bias: { storage: d.arrayOf(others) },
    other: { storage: d.arrayOf(others) },
    y: { storage: d.arrayOf(others), access: "mutable" },
    extra: { storage: d.arrayOf(d.f32), access: "mutable" },
  });
const layouts: Readonly<Record<LeftLoads, ReturnType<typeof layoutOf>>> = {
  any: layoutOf(d.f32, d.f32),
  depth: layoutOf(d.vec4f, d.vec4f),
  rows: layoutOf(d.vec4f, d.vec4f),
  single: layoutOf(d.f32, d.vec4f),
};

const SumParams = d.struct({ rows: d.u32, columns: d.u32, splits: d.u32, batches: d.u32 }).$name("Params");
const sumLayout = tgpu.bindGroupLayout({
  params: { uniform: SumParams },
  parts: { storage: d.arrayOf(d.f32) },
  bias: { storage: d.arrayOf(d.f32) },
  other: { storage: d.arrayOf(d.f32) },
  y: { storage: d.arrayOf(d.f32), access: "mutable" },
  extra: { storage: d.arrayOf(d.f32), access: "mutable" },
});

/** Generated once each, when first asked for. */
const kernels = new Map<string, Kernel>();
const made = new WeakSet<Kernel>();

function once(key: string, make: () => Kernel): Kernel {
  const known = kernels.get(key);
  if (known) return known;
  const kernel = make();
  kernels.set(key, kernel);
  made.add(kernel);
  return kernel;
}

/** The kernel `matmul_NAME` of a form, with `_wide` behind it where it loads four numbers at once. */
export function productKernel(name: string, form: ProductForm, left: LeftLoads): Kernel {
  return once(`${name} ${left}`, () => {
    const kernel = `matmul_${name}${left === "any" ? "" : "_wide"}`;
    const layout = layouts[left];
    return defineKernel({ name: kernel, source: textOf(kernel, form, left), params: Params, layout, ...needs(form) });
  });
}

/** The kernel of subgroup matrices for operands of a type; `pins` asks for the tiling's size of subgroups. */
export function matrixKernel(tiling: MatrixTiling, operand: MatrixOperand, pins: boolean): Kernel {
  return once(JSON.stringify([tiling, operand, pins]), () => {
    const source = matrixText("matmul_matrix", tiling, operand, pins);
    const features: KernelFeature[] = ["subgroups", "chromium-experimental-subgroup-matrix"];
    if (pins) features.push("subgroup-size-control");
    if (tiling.shape.component === "f16") features.push("shader-f16");
    return defineKernel({ name: "matmul_matrix", source, params: Params, layout: layouts.any, features });
  });
}

/** The second pass of a product whose depth was split. */
export function sumKernel(): Kernel {
  return once("sum", () =>
    defineKernel({ name: "matmul_sum", source: sumText(), params: SumParams, layout: sumLayout }),
  );
}

/** Whether a kernel is one of these, all of which end with the same epilogue. */
export function isProductKernel(kernel: Kernel): boolean {
  return made.has(kernel);
}

function textOf(kernel: string, form: ProductForm, left: LeftLoads): string {
  switch (form.kind) {
    case "subgroup":
      return subgroupText(kernel, form, left);
    case "register":
      return registerText(kernel);
    case "shared":
      return sharedText(kernel, form, left);
  }
}

function needs(form: ProductForm): Pick<Kernel, "features"> {
  if (form.kind !== "subgroup") return { features: [] };
  return { features: form.pinned ? ["subgroups", "subgroup-size-control"] : ["subgroups"] };
}
