import source from "./canonical.wgsl" with { type: "text" };
import { parseModule } from "./parse_module.ts";
import { rewriteFunction } from "./rewrite.ts";
import type { ConstantDeclaration, Expression, FunctionDeclaration, Module, VariableDeclaration } from "./syntax.ts";
import { isSingle, sameType, showType } from "./types.ts";
import { WgslError } from "./wgsl_error.ts";

type Width = 1 | 2 | 3 | 4;

/** The functions of `canonical.wgsl` for the widths that one kernel needs, their own operations guarded. */
export class CanonicalLibrary {
  readonly #modules = new Map<Width, Module>();
  readonly #used = new Map<string, FunctionDeclaration | undefined>();

  /** `canonical_NAME` of values of one type, a scalar, a vector or a matrix of 4 × 4. @throws WgslError where there is none for the type */
  call(name: string, values: readonly Expression[]): Expression {
    const [like] = values;
    const width = like && widthOf(like);
    const full = `canonical_${name}_${width}`;
    const callee = width && this.#module(width).functions.find((each) => each.name === full);
    if (!like || !callee?.parameters[0] || !sameType(callee.parameters[0].type, like.type))
      throw new WgslError(
        like?.line ?? 1,
        `${name} of ${like ? showType(like.type) : "nothing"} has no canonical form`,
      );
    this.#add(callee);
    const { start, end, line } = like;
    return { kind: "call", callee, arguments: values, type: callee.result, start, end, line };
  }

  /** All that were called, with what they call. */
  used(): FunctionDeclaration[] {
    return [...this.#used.values()].filter((each) => each !== undefined);
  }

  get constants(): readonly ConstantDeclaration[] {
    return this.#module(1).constants;
  }

  /** The variable that an entry point has to set to a zero unknown to the compiler. */
  get zero(): VariableDeclaration {
    const [zero] = this.#module(1).variables;
    if (!zero) throw new WgslError(1, "canonical.wgsl declares no zero");
    return zero;
  }

  #module(width: Width): Module {
    const module = this.#modules.get(width) ?? parseModule(textOf(width));
    this.#modules.set(width, module);
    return module;
  }

  #add(callee: FunctionDeclaration): void {
    if (this.#used.has(callee.name)) return;
    this.#used.set(callee.name, undefined);
    // Walls themselves; and conversions, whose product is exact, without which uniform numbers stay uniform to the compiler.
    const asItStands = /^canonical_(?:kept|product|operand|of_signed|of_unsigned)_/.test(callee.name);
    const guarded = asItStands
      ? callee
      : rewriteFunction(callee, { expression: (x) => this.#guarded(x), initial: (x) => x, assign: (x) => x });
    this.#used.set(callee.name, guarded);
  }

  /** Sums and products behind a wall; those that are arguments of one have it already. */
  #guarded(expression: Expression): Expression {
    if (expression.kind === "call") {
      this.#add(expression.callee);
      const [first] = expression.arguments;
      const isProduct = expression.callee.name.startsWith("canonical_product_");
      if (!isProduct || first?.kind !== "call" || !first.callee.name.startsWith("canonical_kept_")) return expression;
      return { ...expression, arguments: first.arguments };
    }
    const isRounded = expression.kind === "binary" && ["+", "-", "*"].includes(expression.operator);
    return isRounded && isSingle(expression.type) ? this.call("kept", [expression]) : expression;
  }
}

function widthOf({ type }: Expression): Width | undefined {
  if (type.kind === "vector") return type.size;
  if (type.kind === "matrix") return type.columns;
  return type.kind === "scalar" ? 1 : undefined;
}

/** The functions of a width, which stands behind their names. */
function textOf(width: Width): string {
  const wide = (type: string): string => (width === 1 ? type : `vec${width}<${type}>`);
  return `${source}\n${width === 1 ? "" : sumsOfElements(width)}${width === 4 ? matrices : ""}`
    .replace(/^alias ([FUIB]) = (\w+);$/gm, (_, name: string, type: string) => `alias ${name} = ${wide(type)};`)
    .replace(/\b(canonical_\w+)(?=\()/g, `$1_${width}`);
}

/** Products add from the first column of a matrix on left, and from the first row of one on the right; also to a sum. */
const matrices = `
fn canonical_columns(a: mat4x4f, x: vec4f) -> vec4f {
  return canonical_product(a[0] * x.x) + canonical_product(a[1] * x.y) + canonical_product(a[2] * x.z) + canonical_product(a[3] * x.w);
}
fn canonical_columns_onto(a: mat4x4f, x: vec4f, sum: vec4f) -> vec4f {
  return sum + canonical_product(a[0] * x.x) + canonical_product(a[1] * x.y) + canonical_product(a[2] * x.z) + canonical_product(a[3] * x.w);
}
fn canonical_rows(x: vec4f, a: mat4x4f) -> vec4f {
  return vec4f(canonical_inner(x, a[0]), canonical_inner(x, a[1]), canonical_inner(x, a[2]), canonical_inner(x, a[3]));
}
fn canonical_rows_onto(x: vec4f, a: mat4x4f, sum: vec4f) -> vec4f {
  return vec4f(
    canonical_inner_onto(x, a[0], sum.x), canonical_inner_onto(x, a[1], sum.y),
    canonical_inner_onto(x, a[2], sum.z), canonical_inner_onto(x, a[3], sum.w),
  );
}
fn canonical_matrices(a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(canonical_columns(a, b[0]), canonical_columns(a, b[1]), canonical_columns(a, b[2]), canonical_columns(a, b[3]));
}
fn canonical_matrices_onto(a: mat4x4f, b: mat4x4f, sum: mat4x4f) -> mat4x4f {
  return mat4x4f(
    canonical_columns_onto(a, b[0], sum[0]), canonical_columns_onto(a, b[1], sum[1]),
    canonical_columns_onto(a, b[2], sum[2]), canonical_columns_onto(a, b[3], sum[3]),
  );
}
fn canonical_sum_of_matrices(a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]);
}
`;

/** Sums of the elements, or of their products, from the first on; also added to a sum. */
function sumsOfElements(width: Width): string {
  const terms = (name: string): string =>
    [..."xyzw"]
      .slice(0, width)
      .map((place) => `${name}.${place}`)
      .join(" + ");
  return `
fn canonical_total(x: F) -> f32 { return ${terms("x")}; }
fn canonical_total_onto(x: F, sum: f32) -> f32 { return sum + ${terms("x")}; }
fn canonical_inner(a: F, b: F) -> f32 { return canonical_total(canonical_product(a * b)); }
fn canonical_inner_onto(a: F, b: F, sum: f32) -> f32 { return canonical_total_onto(canonical_product(a * b), sum); }
`;
}
