import type {
  Binary,
  BuiltinCall,
  Construct,
  Expression,
  FunctionCall,
  MatrixType,
  ScalarName,
  Type,
  Unary,
} from "../wgsl/syntax.ts";
import { elementOf, showType } from "../wgsl/types.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";
import { type CodeScope, isComposite, typedArray } from "./code_scope.ts";
import { strideOf } from "./memory_layout.ts";
import { atomicPlace, placeOf, readPlace } from "./place_code.ts";
import { binaryCode, bitcastCode, builtinCode, convertCode, refusal } from "./scalar_code.ts";

/** The JavaScript expression of a WGSL expression. Scalars are numbers, vectors arrays that are never changed. */
export function expressionCode(expression: Expression, scope: CodeScope): string {
  const code = (one: Expression): string => expressionCode(one, scope);
  switch (expression.kind) {
    case "literal":
      return typeof expression.value === "number" && expression.value < 0
        ? `(${expression.value})`
        : String(expression.value);
    case "name":
    case "index":
    case "field":
      return readPlace(placeOf(expression, scope, code), expression.type, scope);
    case "swizzle": {
      if (expression.places.length === 1) return readPlace(placeOf(expression, scope, code), expression.type, scope);
      const items = expression.places.map((at) => `v[${at}]`);
      return `${scope.helper(`(v)=>[${items.join(",")}]`)}(${code(expression.base)})`;
    }
    case "unary":
      return unaryCode(expression, scope);
    case "binary":
      return operatorCode(expression, scope);
    case "call":
      return callCode(expression, scope);
    case "builtin":
      return builtinCallCode(expression, scope);
    case "construct":
      return constructCode(expression, scope);
    case "convert": {
      const [from, to] = [scalarOf(expression.operand.type), scalarOf(expression.type)];
      return lifted([expression.operand], expression.type, scope, ([x = ""]) => convertCode(from, to, x));
    }
  }
}

/** A value for a variable of its own. */
export function valueCode(expression: Expression, scope: CodeScope): string {
  const code = expressionCode(expression, scope);
  const isMade = expression.kind === "construct" || expression.kind === "call";
  return isComposite(expression.type) && !isMade ? `R.copy(${code})` : code;
}

function scalarOf(type: Type): ScalarName {
  const element = elementOf(type);
  if (!element || element.name === "f16")
    throw new WgslError(0, `the interpreter does not compute with ${showType(type)}; use a variant without it`);
  return element.name;
}

/** A scalar function of every element: of scalars at once, of vectors by a helper; scalars stand for vectors of equal elements. */
function lifted(
  given: readonly Expression[],
  type: Type,
  scope: CodeScope,
  scalarCode: (args: readonly string[]) => string,
): string {
  const args = given.map((one) => expressionCode(one, scope));
  if (type.kind === "matrix") return liftedMatrix(given, args, type, scope, scalarCode);
  const size = type.kind === "vector" ? type.size : 1;
  if (size === 1) return scalarCode(args);
  const names = given.map((_, i) => `a${i}`);
  const items = Array.from({ length: size }, (_, at) =>
    scalarCode(names.map((name, i) => (given[i]?.type.kind === "vector" ? `${name}[${at}]` : name))),
  );
  return `${scope.helper(`(${names.join(",")})=>[${items.join(",")}]`)}(${args.join(",")})`;
}

/** Of every element of matrices, and scalars beside them. */
function liftedMatrix(
  given: readonly Expression[],
  args: readonly string[],
  type: MatrixType,
  scope: CodeScope,
  scalarCode: (args: readonly string[]) => string,
): string {
  const names = given.map((_, i) => `a${i}`);
  const element = (column: number, row: number): string =>
    scalarCode(names.map((name, i) => (given[i]?.type.kind === "matrix" ? `${name}[${column}][${row}]` : name)));
  const columns = Array.from(
    { length: type.columns },
    (_, column) => `[${Array.from({ length: type.rows }, (_, row) => element(column, row)).join(",")}]`,
  );
  return `${scope.helper(`(${names.join(",")})=>[${columns.join(",")}]`)}(${args.join(",")})`;
}

function unaryCode({ operator, operand, type, line }: Unary, scope: CodeScope): string {
  if (operator === "&") throw new WgslError(line, "the interpreter knows pointers as arguments of builtins only");
  const name = scalarOf(type);
  return lifted([operand], type, scope, ([x]) => {
    if (operator === "!") return `(!${x})`;
    if (operator === "~") return name === "u32" ? `(~${x}>>>0)` : `(~${x})`;
    return name === "i32" ? `(-${x}|0)` : `(-${x})`;
  });
}

function operatorCode({ operator, left, right, type, line }: Binary, scope: CodeScope): string {
  for (const { type: operand } of [left, right]) scalarOf(operand);
  const kinds = [left.type.kind, right.type.kind];
  if (operator === "*" && kinds.includes("matrix") && !kinds.includes("scalar"))
    return refusal("the product of a matrix", line);
  const name = scalarOf(left.type);
  return lifted([left, right], type, scope, ([a = "", b = ""]) => binaryCode(operator, name, a, b));
}

function callCode({ callee, arguments: given }: FunctionCall, scope: CodeScope): string {
  const args = ["L", ...given.map((one) => valueCode(one, scope))].join(",");
  const name = scope.nameOf(callee);
  return scope.waits(callee) ? `(yield* ${name}(${args}))` : `${name}(${args})`;
}

function constructCode({ type, arguments: given, line }: Construct, scope: CodeScope): string {
  const code = (one: Expression): string => expressionCode(one, scope);
  if (given.length === 0) return scope.zero(type, code);
  if (type.kind === "struct")
    return `{${given.map((one, i) => `${type.fields[i]?.name}:${valueCode(one, scope)}`).join(",")}}`;
  if (type.kind === "array") {
    const items = given.map((one) => valueCode(one, scope)).join(",");
    const typed = typedArray(type.element);
    return typed ? `${typed}.of(${items})` : `[${items}]`;
  }
  const to = scalarOf(type);
  const [first] = given;
  if (type.kind === "scalar" && first) return convertCode(scalarOf(first.type), to, code(first));
  if (type.kind === "matrix") return matrixCode(type, given, scope);
  if (type.kind !== "vector") throw new WgslError(line, `the interpreter makes no ${showType(type)}`);
  const items = given.flatMap(({ type: from }, i) =>
    from.kind === "vector"
      ? Array.from({ length: from.size }, (_, at) => convertCode(from.element.name, to, `a${i}[${at}]`))
      : [convertCode(scalarOf(from), to, `a${i}`)],
  );
  const all = items.length === 1 ? Array.from({ length: type.size }, () => items[0]) : items;
  const names = given.map((_, i) => `a${i}`).join(",");
  return `${scope.helper(`(${names})=>[${all.join(",")}]`)}(${given.map(code).join(",")})`;
}

/** Of columns, or of the elements of one after those of another. */
function matrixCode(type: MatrixType, given: readonly Expression[], scope: CodeScope): string {
  const values = given.map((one) => expressionCode(one, scope));
  if (given[0]?.type.kind === "matrix") return `R.copy(${values.join()})`;
  if (given[0]?.type.kind === "vector") return `[${values.join(",")}]`;
  const columns = Array.from({ length: type.columns }, (_, i) => values.slice(i * type.rows, (i + 1) * type.rows));
  return `[${columns.map((column) => `[${column.join(",")}]`).join(",")}]`;
}

const atomics: Readonly<Record<string, (old: string, value: string) => string>> = {
  atomicAdd: (old, value) => `${old}+${value}`,
  atomicSub: (old, value) => `${old}-${value}`,
  atomicMax: (old, value) => `Math.max(${old},${value})`,
  atomicMin: (old, value) => `Math.min(${old},${value})`,
  atomicAnd: (old, value) => `${old}&${value}`,
  atomicOr: (old, value) => `${old}|${value}`,
  atomicXor: (old, value) => `${old}^${value}`,
  atomicExchange: (_, value) => value,
  atomicStore: (_, value) => value,
};

function builtinCallCode(call: BuiltinCall, scope: CodeScope): string {
  const { name, arguments: given, type, line } = call;
  const [first] = given;
  const target = first?.kind === "unary" && first.operator === "&" ? first.operand : undefined;
  if (target) return pointerCode(call, target, scope);
  if (name === "workgroupBarrier" || name === "storageBarrier") return "yield";
  if (name === "dot") return dotCode(call, scope);
  if (name === "transpose" && type.kind === "matrix") return transposeCode(call, type, scope);
  if (name === "all" || name === "any") return allCode(name, given, scope);
  const from = first ? scalarOf(first.type) : "u32";
  if (name === "bitcast") {
    const to = scalarOf(type);
    return lifted(given, type, scope, ([x = ""]) => bitcastCode(from, to, x));
  }
  return lifted(given, type, scope, (args) => builtinCode(name, from, args, line));
}

/** Of whole numbers; sums of rounded products depend on their order. */
function dotCode({ arguments: given, type, line }: BuiltinCall, scope: CodeScope): string {
  const name = scalarOf(type);
  const [size, code] = [given[0]?.type.kind === "vector" ? given[0].type.size : 1, binaryCode];
  if (name !== "i32" && name !== "u32") return refusal("dot", line);
  const products = Array.from({ length: size }, (_, i) => code("*", name, `a[${i}]`, `b[${i}]`));
  const sum = products.reduce((total, product) => code("+", name, total, product));
  return `${scope.helper(`(a,b)=>${sum}`)}(${given.map((one) => expressionCode(one, scope)).join(",")})`;
}

function transposeCode({ arguments: given }: BuiltinCall, type: MatrixType, scope: CodeScope): string {
  const line = (row: number): string => Array.from({ length: type.rows }, (_, at) => `m[${at}][${row}]`).join(",");
  const columns = Array.from({ length: type.columns }, (_, at) => `[${line(at)}]`).join(",");
  return `${scope.helper(`(m)=>[${columns}]`)}(${given.map((one) => expressionCode(one, scope)).join(",")})`;
}

function allCode(name: "all" | "any", given: readonly Expression[], scope: CodeScope): string {
  const code = given.map((one) => expressionCode(one, scope)).join();
  return given[0]?.type.kind === "vector" ? `${code}.${name === "all" ? "every" : "some"}((x)=>x)` : code;
}

/** Builtins of the value that a pointer leads to. */
function pointerCode({ name, arguments: given, line }: BuiltinCall, target: Expression, scope: CodeScope): string {
  const code = (one: Expression): string => expressionCode(one, scope);
  const place = placeOf(target, scope, code);
  const { type } = target;
  if (name === "arrayLength" && place.kind === "memory" && type.kind === "array")
    return `R.elements(${place.memory}.size-(${place.byte}),${strideOf(type.element)})`;
  if (name === "workgroupUniformLoad") return `(yield,R.first(${readPlace(place, type, scope)},yield))`;
  if (type.kind !== "atomic") throw new WgslError(line, `the interpreter does not know ${name}`);
  const at = atomicPlace(place, type.element);
  if (name === "atomicLoad") return `${scope.helper("(m,i)=>m[i]")}(${at})`;
  const change = Object.hasOwn(atomics, name) ? atomics[name] : undefined;
  const value = given[1];
  if (!change || !value) throw new WgslError(line, `the interpreter does not know ${name}`);
  return `${scope.helper(`(m,i,v)=>{const old=m[i];m[i]=${change("old", "v")};return old;}`)}(${at},${code(value)})`;
}
