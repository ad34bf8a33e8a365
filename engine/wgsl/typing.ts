import type { Binary, BinaryOperator, Expression, Type } from "./syntax.ts";
import {
  becomes,
  boolType,
  concrete,
  elementOf,
  isAbstract,
  sameType,
  showType,
  u32Type,
  vector,
  withElement,
} from "./types.ts";
import { WgslError } from "./wgsl_error.ts";

/** The expression as a value of the type: itself, or converted from an abstract type. @throws WgslError where it cannot be */
export function coerced(expression: Expression, type: Type): Expression {
  if (sameType(expression.type, type)) return expression;
  if (!becomes(expression.type, type))
    throw new WgslError(expression.line, `expected ${showType(type)} and found ${showType(expression.type)}`);
  if (expression.kind === "literal") {
    const { value } = expression;
    const isF32 = type.kind === "scalar" && type.name === "f32" && typeof value === "number";
    return { ...expression, type, value: isF32 ? Math.fround(value) : value };
  }
  const { start, end, line } = expression;
  return { kind: "convert", operand: expression, type, start, end, line };
}

/** The expression without an abstract type: i32 or f32 where it has one. */
export function made(expression: Expression): Expression {
  return coerced(expression, concrete(expression.type));
}

/** Both with elements of one type, where one is abstract; shapes stay. */
function unified(left: Expression, right: Expression): [Expression, Expression] {
  const [a, b] = [elementOf(left.type), elementOf(right.type)];
  if (!a || !b || sameType(a, b)) return [left, right];
  if (becomes(a, b)) return [coerced(left, withElement(left.type, b)), right];
  return [left, coerced(right, withElement(right.type, a))];
}

/** All of one type; the shapes have to be equal. */
export function unifiedAll(expressions: readonly Expression[]): Expression[] {
  const [first] = expressions;
  if (!first) return [];
  const widest = expressions.reduce((type, { type: other }) => (becomes(type, other) ? other : type), first.type);
  return expressions.map((expression) => coerced(expression, widest));
}

const comparisons: readonly BinaryOperator[] = ["==", "!=", "<", "<=", ">", ">="];

/** The typed expression of an operator. @throws WgslError where the operands do not fit */
export function binary(operator: BinaryOperator, leftGiven: Expression, rightGiven: Expression): Binary {
  const place = { start: leftGiven.start, end: rightGiven.end, line: leftGiven.line };
  if (operator === "<<" || operator === ">>") {
    const right = isAbstract(rightGiven.type) ? coerced(rightGiven, withElement(rightGiven.type, u32Type)) : rightGiven;
    return { kind: "binary", operator, left: leftGiven, right, type: leftGiven.type, ...place };
  }
  const [left, right] = unified(leftGiven, rightGiven);
  const type = resultOf(operator, left.type, right.type);
  if (!type)
    throw new WgslError(place.line, `${showType(left.type)} ${operator} ${showType(right.type)} is not defined`);
  return { kind: "binary", operator, left, right, type, ...place };
}

function resultOf(operator: BinaryOperator, left: Type, right: Type): Type | undefined {
  const [a, b] = [elementOf(left), elementOf(right)];
  if (!a || !b || !sameType(a, b)) return undefined;
  const isEqual = sameType(left, right);
  if (comparisons.includes(operator)) return isEqual ? withElement(left, boolType) : undefined;
  if (operator === "&&" || operator === "||") return isEqual && a.name === "bool" ? left : undefined;
  if (operator === "&" || operator === "|" || operator === "^") return isEqual ? left : undefined;
  return a.name === "bool" ? undefined : arithmeticResult(operator, left, right);
}

function arithmeticResult(operator: BinaryOperator, left: Type, right: Type): Type | undefined {
  if (left.kind === "matrix" || right.kind === "matrix") return matrixResult(operator, left, right);
  if (sameType(left, right) || right.kind === "scalar") return left;
  return left.kind === "scalar" ? right : undefined;
}

function matrixResult(operator: BinaryOperator, left: Type, right: Type): Type | undefined {
  if (operator === "+" || operator === "-") return sameType(left, right) ? left : undefined;
  if (operator !== "*") return undefined;
  if (right.kind === "scalar") return left;
  if (left.kind === "scalar") return right;
  if (left.kind === "matrix" && right.kind === "vector") return vector(left.rows, left.element);
  if (left.kind === "vector" && right.kind === "matrix") return vector(right.columns, left.element);
  if (left.kind === "matrix" && right.kind === "matrix") return { ...left, columns: right.columns };
  return undefined;
}
