import { CanonicalLibrary } from "./canonical_library.ts";
import { parseModule } from "./parse_module.ts";
import { printExpression, printModule } from "./print_module.ts";
import { type Rewriting, rewriteFunction } from "./rewrite.ts";
import type {
  Assign,
  Binary,
  BuiltinCall,
  Construct,
  Expression,
  FunctionDeclaration,
  Literal,
  Module,
  Statement,
  VariableDeclaration,
} from "./syntax.ts";
import { elementOf, isSingle, sameType, scalar, u32Type } from "./types.ts";
import { WgslError } from "./wgsl_error.ts";

/** Functions of the language whose results adapters choose, and the canonical ones that stand for them. */
const replacements: ReadonlyMap<string, string> = new Map(
  Object.entries({
    exp: "exp",
    exp2: "exp2",
    log: "log",
    pow: "pow",
    tanh: "tanh",
    sqrt: "root",
    inverseSqrt: "inverse_root",
    mix: "mix",
    dot: "inner",
  }),
);

/** The same for operations of matrices, by the kinds of their operands. */
const matrixForms: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "matrix * vector": "columns",
    "vector * matrix": "rows",
    "matrix * matrix": "matrices",
    "matrix + matrix": "sum_of_matrices",
  }),
);

/** Those that round nothing. */
const exact: ReadonlySet<string> = new Set([
  ..."abs sign min max clamp floor ceil round trunc select bitcast transpose any all".split(" "),
  ..."subgroupMax subgroupMin subgroupBroadcast subgroupBroadcastFirst subgroupShuffle subgroupShuffleXor".split(" "),
]);

/**
 * Which factors of a kernel's sums of products count as 0 below 2^-51: the products are then 0 or at least 2^-102 without a test of
 * their own, which would take as long as the rest of an inner loop.
 */
export interface ShortOperands {
  /** Bindings that such factors are read from. */
  readonly bindings: readonly string[];
  /** Whether other factors are computed: then exponentials and products that are not added at once (`fma`, `+=`) are such, too. */
  readonly computed?: boolean;
}

/**
 * A kernel's text with one result on every adapter and compiler: every f32 operation is rounded by itself, in the order in which it
 * stands in the text (`fma` as a product and a sum, `dot` from the first element on, a matrix times a vector from the first column on).
 * `canonical.wgsl` says what becomes of products, quotients and functions, and why no number is subnormal.
 *
 * @param operands - of a kernel whose sums add only products of such factors; without, each product is tested
 * @throws WgslError at what cannot be made so: f16, sums over subgroups, functions without a canonical form, a kernel without uniforms
 */
export function reproducibleText(text: string, operands?: ShortOperands): string {
  const module = parseModule(text);
  if (module.extensions.includes("f16"))
    throw new WgslError(1, "the reproducible mode admits no f16, whose arithmetic adapters choose; use f32");
  const library = new CanonicalLibrary();
  const rewriting = rewritingWith(library, operands);
  const functions = module.functions.map((each) => rewriteFunction(each, rewriting));
  const used = library.used();
  if (used.length === 0) return text;
  return printModule({
    ...module,
    constants: [...library.constants, ...module.constants],
    variables: [...module.variables, library.zero],
    functions: [
      ...used,
      ...functions.map((each) => (each.workgroupSize ? withZero(each, module, library.zero) : each)),
    ],
  });
}

function rewritingWith(library: CanonicalLibrary, operands?: ShortOperands): Rewriting {
  const wall = operands?.computed ? "operand" : "product";
  const builtin = (given: BuiltinCall): Expression => {
    const result = rewriteBuiltin(given, library, operands ? "kept" : "product");
    return operands?.computed && given.name === "exp" ? library.call("operand", [result]) : result;
  };
  const expression = (given: Expression): Expression => {
    if (operands && isRead(given, operands.bindings)) return library.call("operand", [given]);
    if (given.kind === "binary" && isSingle(given.type)) return rewriteBinary(given, library, wall);
    if (given.kind === "construct") return rewriteConversions(given, library);
    return given.kind === "builtin" ? builtin(given) : given;
  };
  return {
    expression,
    // A sum that starts at a zero known to the compiler would start at its first term: -0 would stay -0.
    initial: (value) => (isZero(value) ? library.call("kept", [value]) : value),
    assign: (statement) => spelledOut(statement, library, wall),
  };
}

/** Whether a value is an element of one of the bindings, unless the kernel writes there. */
function isRead(given: Expression, bindings: readonly string[]): boolean {
  if (given.kind !== "index" || given.base.kind !== "name" || !bindings.includes(given.base.name)) return false;
  const { declaration } = given.base;
  return declaration.kind === "var" && declaration.access === "read";
}

/** @param wall - what becomes of a product */
function rewriteBinary(given: Binary, library: CanonicalLibrary, wall: "product" | "operand" = "product"): Expression {
  const { operator } = given;
  if ([given.left, given.right].some(({ type }) => type.kind === "matrix")) return rewriteMatrices(given, library);
  const isSum = operator === "+" || operator === "-";
  const left = isSum && isConstant(given.right) ? untested(given.left, library) : given.left;
  const right = isSum && isConstant(given.left) ? untested(given.right, library) : given.right;
  switch (operator) {
    case "*":
      return library.call(wall, [{ ...given, left: unknownZero(left, library), right: unknownZero(right, library) }]);
    case "-":
      if (printExpression(left) === printExpression(right))
        return library.call("kept", [{ ...given, left: library.call("kept", [left]) }]);
      return library.call("kept", [{ ...given, left, right: unknownZero(right, library) }]);
    case "+":
      return library.call("kept", [{ ...given, left: unknownZero(left, library), right: unknownZero(right, library) }]);
    case "/":
      return library.call("quotient", [spread(left, given), spread(right, given)]);
    default:
      throw new WgslError(given.line, `${operator} of f32 has no canonical form; write it with floor`);
  }
}

/** A number so large that what is below 2^-102 does not change it: a product that is added to it needs no test. */
function isConstant(value: Expression): boolean {
  return value.kind === "literal" && Math.abs(Number(value.value)) > 2 ** -60;
}

/** A product whose size does not matter, only behind a wall. */
function untested(value: Expression, library: CanonicalLibrary): Expression {
  if (value.kind !== "call" || !/^canonical_(?:product|operand)_/.test(value.callee.name)) return value;
  const [product] = value.arguments;
  return product?.kind === "binary" ? library.call("kept", [product]) : value;
}

function rewriteMatrices({ operator, left, right, line }: Binary, library: CanonicalLibrary): Expression {
  const name = [left.type.kind, operator, right.type.kind].join(" ");
  const canonical = matrixForms.get(name);
  if (!canonical) throw new WgslError(line, `${name} of f32 has no canonical form, which the reproducible mode needs`);
  return library.call(canonical, [left, right]);
}

/** Compilers leave out a sum with a zero, and make a product with it zero. */
function unknownZero(value: Expression, library: CanonicalLibrary): Expression {
  return isZero(value) ? library.call("kept", [value]) : value;
}

function isZero(value: Expression): boolean {
  if (!isSingle(value.type)) return false;
  if (value.kind === "literal") return value.value === 0;
  return value.kind === "construct" && value.type.kind !== "matrix" && value.arguments.every(isZero);
}

/** `vec4f(1.0)` */
function isOnes(value: Expression): boolean {
  return value.kind === "construct" && value.arguments.every((one) => one.kind === "literal" && one.value === 1);
}

/** A scalar as a vector like the result. */
function spread(value: Expression, { type }: Expression): Expression {
  return sameType(value.type, type) ? value : { ...value, kind: "construct", type, arguments: [value] };
}

/** Whole numbers as f32, rounded to nearest: how adapters round those from 2^24 on is open, and some take those from 2^31 on for negative. */
function rewriteConversions(given: Construct, library: CanonicalLibrary): Construct {
  if (!isSingle(given.type)) return given;
  const value = (one: Expression): Expression => {
    const element = elementOf(one.type)?.name;
    if (element === "u32") return library.call("of_unsigned", [one]);
    return element === "i32" ? library.call("of_signed", [one]) : one;
  };
  return { ...given, arguments: given.arguments.map(value) };
}

function rewriteBuiltin(given: BuiltinCall, library: CanonicalLibrary, wall: "kept" | "product"): Expression {
  const { name, arguments: values } = given;
  const [first, second, third] = values;
  // Also what makes bits of f32, such as pack4x8unorm.
  const isOfSingle = [given, ...values].some(({ type }) => isSingle(type));
  if (!isOfSingle || !first || exact.has(name)) return given;
  if (name === "fma" && second && third) {
    const { start, end, line, type } = given;
    const place = { start, end, line, type, kind: "binary" } as const;
    const product = library.call(wall, [{ ...place, operator: "*", left: first, right: second }]);
    // The product is behind a wall already, so that its sum cannot be joined with it.
    return { ...place, operator: "+", left: product, right: unknownZero(third, library) };
  }
  if (name === "dot" && second && isOnes(second)) return library.call("total", [first]); // no product, which may underflow
  const canonical = replacements.get(name);
  if (!canonical)
    throw new WgslError(given.line, `${name} of f32 has no canonical form, which the reproducible mode needs`);
  return library.call(canonical, name === "mix" ? values.map((value) => spread(value, given)) : values);
}

/** `x += y` as `x = x + y`, so that the operation can be guarded. */
function spelledOut(statement: Assign, library: CanonicalLibrary, wall: "product" | "operand"): Statement {
  const { target, operator, value, start, end, line } = statement;
  if (!target || !operator || !isSingle(target.type)) return statement;
  if (callsIn(target))
    throw new WgslError(line, "the place of an assignment with an operator calls a function; name it first");
  const whole: Binary = { kind: "binary", operator, left: target, right: value, type: target.type, start, end, line };
  const added = wall === "operand" ? untested(value, library) : value;
  const result = operator === "+" ? continued(target, added, library) : rewriteBinary(whole, library, wall);
  return { kind: "assign", target, value: result, start, end, line };
}

/**
 * A sum and what is added to it: where that is a sum itself, or a dot product, its terms are added one after the other. Kernels that
 * take one term in a step then add as those do that take several.
 */
function continued(sum: Expression, added: Expression, library: CanonicalLibrary): Expression {
  const { start, end, line } = added;
  const place = { start, end, line };
  if (added.kind === "call") {
    const [first] = added.arguments;
    const isSum = first?.kind === "binary" && first.operator === "+" && added.callee.name.startsWith("canonical_kept_");
    if (isSum && sameType(first.left.type, sum.type) && sameType(first.right.type, sum.type))
      return continued(continued(sum, first.left, library), first.right, library);
    const ofTerms = /^canonical_(inner|total|columns|rows|matrices)_\d$/.exec(added.callee.name)?.[1];
    if (ofTerms) return library.call(`${ofTerms}_onto`, [...added.arguments, sum]);
  }
  if (added.kind === "construct" && added.arguments.length > 1 && added.arguments.every(isDot)) {
    const { element } = sum.type.kind === "vector" ? sum.type : { element: scalar("f32") };
    const values = added.arguments.map((value, i) =>
      continued({ ...place, kind: "swizzle", base: sum, places: [i], type: element }, value, library),
    );
    return { ...added, arguments: values };
  }
  const whole: Binary = { ...place, kind: "binary", operator: "+", left: sum, right: added, type: sum.type };
  return rewriteBinary(whole, library);
}

function isDot(value: Expression): boolean {
  return value.kind === "call" && /^canonical_(?:inner|total)_\d$/.test(value.callee.name);
}

function callsIn(place: Expression): boolean {
  if (place.kind === "index")
    return callsIn(place.base) || printExpression(place.index).includes("canonical_") || place.index.kind === "call";
  return place.kind === "field" || place.kind === "swizzle" ? callsIn(place.base) : false;
}

/** The entry point, with the zero read first: the upper bit of the kernel's first whole number, a count, which is below 2^31. */
function withZero(entry: FunctionDeclaration, { variables }: Module, zero: VariableDeclaration): FunctionDeclaration {
  const { start, end, line, body } = entry;
  const place = { start, end, line };
  const uniform = variables.find(({ space }) => space === "uniform");
  const fields = uniform?.type.kind === "struct" ? uniform.type.fields : [];
  const count = fields.find(({ type }) => sameType(type, u32Type));
  if (!uniform || !count)
    throw new WgslError(line, `${entry.name} has no u32 among its uniforms, which the reproducible mode needs`);
  const params: Expression = { ...place, kind: "name", name: uniform.name, declaration: uniform, type: uniform.type };
  const left: Expression = { ...place, kind: "field", base: params, name: count.name, type: u32Type };
  const right: Literal = { ...place, kind: "literal", value: 31, type: scalar("u32") };
  const value: Expression = { ...place, kind: "binary", operator: ">>", left, right, type: u32Type };
  const target: Expression = { ...place, kind: "name", name: zero.name, declaration: zero, type: u32Type };
  return { ...entry, body: { ...body, statements: [{ ...place, kind: "assign", target, value }, ...body.statements] } };
}
