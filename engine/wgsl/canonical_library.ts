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

  /** `canonical_NAME` of values of one type, a scalar or a vector. @throws WgslError where there is none for the type */
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
  return type.kind === "scalar" ? 1 : undefined;
}

/** The functions of a width, which stands behind their names. */
function textOf(width: Width): string {
  const wide = (type: string): string => (width === 1 ? type : `vec${width}<${type}>`);
  return `${source}\n${width === 1 ? "" : sumsOfElements(width)}`
    .replace(/^alias ([FUIB]) = (\w+);$/gm, (_, name: string, type: string) => `alias ${name} = ${wide(type)};`)
    .replace(/\b(canonical_\w+)(?=\()/g, `$1_${width}`);
}

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
