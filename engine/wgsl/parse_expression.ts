import { builtinCall, isBuiltin } from "./builtins.ts";
import { construct, constructInferred } from "./construct.ts";
import type { Cursor } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import { parseNumber } from "./numbers.ts";
import type { BinaryOperator, Expression, FunctionDeclaration, ScalarType, Type } from "./syntax.ts";
import { boolType, concrete, isAbstract, matrixOf, predeclaredType, showType, vector } from "./types.ts";
import { binary, coerced, made } from "./typing.ts";
import { WgslError } from "./wgsl_error.ts";

/** From weak to strong, as far as kernels mix them without brackets. */
const levels: readonly (readonly BinaryOperator[])[] = [
  ["||"],
  ["&&"],
  ["|"],
  ["^"],
  ["&"],
  ["==", "!=", "<", "<=", ">", ">="],
  ["<<", ">>"],
  ["+", "-"],
  ["*", "/", "%"],
];

const levelOf: ReadonlyMap<string, number> = new Map(
  levels.flatMap((operators, level) => operators.map((operator) => [operator, level])),
);
const operatorOf: ReadonlyMap<string, BinaryOperator> = new Map(levels.flat().map((operator) => [operator, operator]));

export function parseExpression(cursor: Cursor): Expression {
  return parseLevel(cursor, 0);
}

/** Without comparisons, so that `>` ends it: the length in `array<f32, 2 * n>`. */
function parseShift(cursor: Cursor): Expression {
  return parseLevel(cursor, 7);
}

/** An expression of operators from `level` on, by climbing: each operator takes to its right what binds more strongly. */
function parseLevel(cursor: Cursor, level: number): Expression {
  let left = parseUnary(cursor);
  for (;;) {
    const found = operatorAt(cursor);
    const strength = found && levelOf.get(found.operator);
    if (!found || strength === undefined || strength < level) return left;
    cursor.at += found.tokens;
    left = binary(found.operator, left, parseLevel(cursor, strength + 1));
  }
}

/** The operator of two operands at the cursor; `>` and what touches it are one. */
function operatorAt(cursor: Cursor): { operator: BinaryOperator; tokens: number } | undefined {
  const [token, after] = [cursor.peek(), cursor.peek(1)];
  const touches = token.end === after.start;
  if (token.text === ">" && touches && (after.text === ">" || after.text === "=" || after.text === "==")) {
    const afterThat = cursor.peek(2);
    if (after.text === ">" && afterThat.start === after.end && afterThat.text === "=") return undefined; // >>=
    return { operator: after.text === ">" ? ">>" : ">=", tokens: 2 };
  }
  const operator = operatorOf.get(token.text);
  return operator && token.kind === "sign" ? { operator, tokens: 1 } : undefined;
}

function parseUnary(cursor: Cursor): Expression {
  const token = cursor.peek();
  const operator = (["-", "!", "~", "&"] as const).find((sign) => cursor.is(sign));
  if (!operator) return parsePostfix(cursor);
  cursor.next();
  const operand = parseUnary(cursor);
  const type = operator === "&" ? ({ kind: "pointer", target: operand.type } as const) : operand.type;
  return { kind: "unary", operator, operand, type, start: token.start, end: cursor.end, line: token.line };
}

function parsePostfix(cursor: Cursor): Expression {
  let base = parsePrimary(cursor);
  for (;;) {
    if (cursor.accept("[")) {
      const index = made(parseExpression(cursor));
      cursor.expect("]");
      base = indexed(base, index, cursor.end);
    } else if (cursor.accept(".")) {
      base = member(base, cursor.word(), cursor.end);
    } else {
      return base;
    }
  }
}

function indexed(base: Expression, index: Expression, end: number): Expression {
  const { type } = base;
  const place = { start: base.start, end, line: base.line };
  if (type.kind === "array" || type.kind === "vector")
    return { kind: "index", base, index, type: type.element, ...place };
  if (type.kind === "matrix") return { kind: "index", base, index, type: vector(type.rows, type.element), ...place };
  throw new WgslError(base.line, `${showType(type)} has no elements`);
}

function member(base: Expression, { text: name, line }: Token, end: number): Expression {
  const place = { start: base.start, end, line: base.line };
  const { type } = base;
  if (type.kind === "struct") {
    const field = type.fields.find((candidate) => candidate.name === name);
    if (!field) throw new WgslError(line, `${type.name} has no field ${name}`);
    return { kind: "field", base, name, type: field.type, ...place };
  }
  const places = [...name].map((letter) => Math.max("xyzw".indexOf(letter), "rgba".indexOf(letter)));
  const [first] = places;
  if (type.kind !== "vector" || first === undefined || places.some((at) => at < 0 || at >= type.size))
    throw new WgslError(line, `${showType(type)} has no member ${name}`);
  return {
    kind: "swizzle",
    base,
    places,
    type: places.length === 1 ? type.element : vector(places.length, type.element),
    ...place,
  };
}

function parsePrimary(cursor: Cursor): Expression {
  const token = cursor.peek();
  if (cursor.accept("(")) {
    const inner = parseExpression(cursor);
    cursor.expect(")");
    return inner;
  }
  if (token.kind === "number") return parseNumber(cursor.next());
  if (token.kind !== "word") throw cursor.error(`expected a value and found ${token.text}`);
  if (token.text === "true" || token.text === "false") {
    cursor.next();
    return {
      kind: "literal",
      value: token.text === "true",
      type: boolType,
      start: token.start,
      end: token.end,
      line: token.line,
    };
  }
  const meaning = cursor.meaning(token.text);
  if (meaning?.kind === "value") {
    cursor.next();
    const { declaration } = meaning;
    return {
      kind: "name",
      name: token.text,
      declaration,
      type: declaration.type,
      start: token.start,
      end: token.end,
      line: token.line,
    };
  }
  if (meaning?.kind === "function") {
    cursor.next();
    return userCall(cursor, token, meaning.declaration);
  }
  if (token.text === "bitcast") return parseBitcast(cursor);
  if (isBuiltin(token.text) && meaning === undefined) {
    cursor.next();
    const given = parseArguments(cursor);
    return builtinCall(token.text, given, { start: token.start, end: cursor.end, line: token.line });
  }
  if (/^(?:vec[234]|array)$/.test(token.text) && cursor.is("(", 1)) {
    cursor.next();
    const given = parseArguments(cursor);
    return constructInferred(token.text, given, { start: token.start, end: cursor.end, line: token.line });
  }
  if (
    meaning?.kind === "type" ||
    predeclaredType(token.text) ||
    /^(?:vec[234]|mat[234]x[234]|array)$/.test(token.text)
  ) {
    const type = parseType(cursor);
    const given = parseArguments(cursor);
    return construct(type, given, { start: token.start, end: cursor.end, line: token.line });
  }
  throw cursor.error(`${token.text} is not declared, and no function of the language that kernels may use`);
}

function parseBitcast(cursor: Cursor): Expression {
  const token = cursor.next();
  cursor.expect("<");
  const type = parseType(cursor);
  cursor.expect(">");
  const given = parseArguments(cursor).map(made);
  return {
    kind: "builtin",
    name: "bitcast",
    arguments: given,
    type,
    start: token.start,
    end: cursor.end,
    line: token.line,
  };
}

function userCall(cursor: Cursor, token: Token, callee: FunctionDeclaration): Expression {
  const given = parseArguments(cursor);
  if (given.length !== callee.parameters.length)
    throw cursor.error(`${callee.name} takes ${callee.parameters.length} arguments and has ${given.length}`, token);
  const values = given.map((value, i) => coerced(value, callee.parameters[i]?.type ?? value.type));
  return {
    kind: "call",
    callee,
    arguments: values,
    type: callee.result,
    start: token.start,
    end: cursor.end,
    line: token.line,
  };
}

/** `(a, b, …)`, a comma at the end allowed. */
function parseArguments(cursor: Cursor): Expression[] {
  cursor.expect("(");
  const given: Expression[] = [];
  while (!cursor.is(")")) {
    given.push(parseExpression(cursor));
    if (!cursor.accept(",")) break;
  }
  cursor.expect(")");
  return given;
}

/** A type as declarations and constructors name it; aliases give what they stand for. */
export function parseType(cursor: Cursor): Type {
  const token = cursor.word();
  const known = predeclaredType(token.text);
  if (known && !token.text.startsWith("abstract")) return known;
  const size = /^vec([234])$/.exec(token.text);
  if (size) return inAngles(cursor, () => vector(Number(size[1]), parseScalar(cursor)));
  const matrix = /^mat([234])x([234])$/.exec(token.text);
  if (matrix) return inAngles(cursor, () => matrixOf(Number(matrix[1]), Number(matrix[2]), parseScalar(cursor)));
  if (token.text === "atomic")
    return inAngles(cursor, () => ({ kind: "atomic", element: parseScalar(cursor) }) as const);
  if (token.text === "array") return inAngles(cursor, () => parseArray(cursor));
  const meaning = cursor.meaning(token.text);
  if (meaning?.kind === "type") return meaning.type;
  throw cursor.error(`${token.text} is no type that kernels may use`, token);
}

function inAngles<T>(cursor: Cursor, parse: () => T): T {
  cursor.expect("<");
  const result = parse();
  cursor.accept(",");
  cursor.expect(">");
  return result;
}

function parseArray(cursor: Cursor): Type {
  const element = parseType(cursor);
  if (!cursor.accept(",") || cursor.is(">")) return { kind: "array", element };
  const length = parseShift(cursor);
  return { kind: "array", element, length: isAbstract(length.type) ? coerced(length, concrete(length.type)) : length };
}

function parseScalar(cursor: Cursor): ScalarType {
  const token = cursor.peek();
  const type = parseType(cursor);
  if (type.kind !== "scalar") throw cursor.error(`expected a scalar type and found ${showType(type)}`, token);
  return type;
}
