import type { Cursor } from "./cursor.ts";
import { parseExpression, parseType } from "./parse_expression.ts";
import type {
  BinaryOperator,
  Block,
  ConstantDeclaration,
  Declare,
  Expression,
  For,
  If,
  Return,
  Statement,
  Switch,
  Type,
  VariableDeclaration,
} from "./syntax.ts";
import { boolType, voidType } from "./types.ts";
import { binary, coerced, made } from "./typing.ts";

/** `{ … }` with names of its own. `result` is what the function returns. */
function parseBlock(cursor: Cursor, result: Type): Block {
  return cursor.within(() => parseStatements(cursor, result));
}

/** The same in the scope that is open already. */
export function parseStatements(cursor: Cursor, result: Type): Block {
  const { start, line } = cursor.expect("{");
  const statements: Statement[] = [];
  while (!cursor.is("}")) {
    if (cursor.accept(";")) continue;
    statements.push(parseStatement(cursor, result));
  }
  cursor.expect("}");
  return { kind: "block", statements, start, end: cursor.end, line };
}

function parseStatement(cursor: Cursor, result: Type): Statement {
  const { text, start, line } = cursor.peek();
  switch (text) {
    case "{":
      return parseBlock(cursor, result);
    case "if":
      return parseIf(cursor, result);
    case "for":
      return parseFor(cursor, result);
    case "while":
      return parseWhile(cursor, result);
    case "loop":
      cursor.next();
      return { kind: "for", body: parseBlock(cursor, result), start, end: cursor.end, line };
    case "switch":
      return parseSwitch(cursor, result);
    case "return":
      return parseReturn(cursor, result);
    case "break":
    case "continue":
      cursor.next();
      cursor.expect(";");
      return { kind: text, start, end: cursor.end, line };
    default: {
      const statement = parseSimple(cursor);
      cursor.expect(";");
      return statement;
    }
  }
}

/** What may stand in the head of a `for`, too, without its semicolon. */
function parseSimple(cursor: Cursor): Statement {
  const { text, start, line } = cursor.peek();
  if (text === "let" || text === "const" || text === "var") return parseLocal(cursor);
  if (text === "_" && cursor.is("=", 1)) {
    cursor.at += 2;
    return { kind: "assign", value: made(parseExpression(cursor)), start, end: cursor.end, line };
  }
  const target = parseExpression(cursor);
  if ((target.kind === "call" || target.kind === "builtin") && (cursor.is(";") || cursor.is(")")))
    return { kind: "call-statement", call: target, start, end: cursor.end, line };
  if (cursor.accept("++")) return { kind: "increment", target, by: 1, start, end: cursor.end, line };
  if (cursor.accept("--")) return { kind: "increment", target, by: -1, start, end: cursor.end, line };
  if (cursor.accept("=")) {
    const value = coerced(parseExpression(cursor), target.type);
    return { kind: "assign", target, value, start, end: cursor.end, line };
  }
  const operator = compoundOperator(cursor);
  if (!operator) throw cursor.error(`expected an assignment and found ${cursor.peek().text}`);
  const { right: value } = binary(operator, target, parseExpression(cursor));
  return { kind: "assign", target, operator, value, start, end: cursor.end, line };
}

/** `+=` and the like, also `>>=`, whose signs come one by one. */
function compoundOperator(cursor: Cursor): BinaryOperator | undefined {
  const { text } = cursor.peek();
  if (text === ">" && cursor.is(">", 1) && cursor.is("=", 2)) {
    cursor.at += 3;
    return ">>";
  }
  const operator = (["+", "-", "*", "/", "%", "&", "|", "^", "<<"] as const).find((sign) => text === `${sign}=`);
  if (operator) cursor.next();
  return operator;
}

/** `let`, `const` or `var` in a function; its name is known from here on. */
function parseLocal(cursor: Cursor): Declare {
  const { text: keyword, start, line } = cursor.next();
  const { text: name } = cursor.word();
  const wanted = cursor.accept(":") ? parseType(cursor) : undefined;
  const value = cursor.accept("=") ? parseExpression(cursor) : undefined;
  const given = value && initial(value, wanted, keyword === "const");
  const type = wanted ?? given?.type;
  if (!type) throw cursor.error(`${name} has neither a type nor a value`);
  const span = { start, end: cursor.end, line };
  const declaration: ConstantDeclaration | VariableDeclaration =
    keyword === "var"
      ? { kind: "var", name, type, space: "function", access: "read_write", value: given, ...span }
      : { kind: keyword === "let" ? "let" : "const", name, type, value: given, ...span };
  cursor.declare(declaration);
  return { kind: "declare", declaration, ...span };
}

/** A `const` may keep an abstract type. */
export function initial(value: Expression, wanted: Type | undefined, staysAbstract: boolean): Expression {
  if (wanted) return coerced(value, wanted);
  return staysAbstract ? value : made(value);
}

function parseIf(cursor: Cursor, result: Type): If {
  const { start, line } = cursor.expect("if");
  const condition = coerced(parseExpression(cursor), boolType);
  const then = parseBlock(cursor, result);
  const otherwise = cursor.accept("else")
    ? cursor.is("if")
      ? parseIf(cursor, result)
      : parseBlock(cursor, result)
    : undefined;
  return { kind: "if", condition, then, otherwise, start, end: cursor.end, line };
}

function parseFor(cursor: Cursor, result: Type): For {
  const { start, line } = cursor.expect("for");
  return cursor.within(() => {
    cursor.expect("(");
    const first = cursor.is(";") ? undefined : parseSimple(cursor);
    cursor.expect(";");
    const condition = cursor.is(";") ? undefined : coerced(parseExpression(cursor), boolType);
    cursor.expect(";");
    const step = cursor.is(")") ? undefined : parseSimple(cursor);
    cursor.expect(")");
    const body = parseBlock(cursor, result);
    return { kind: "for", start: start, first, condition, step, body, end: cursor.end, line };
  });
}

function parseWhile(cursor: Cursor, result: Type): For {
  const { start, line } = cursor.expect("while");
  const condition = coerced(parseExpression(cursor), boolType);
  return { kind: "for", condition, body: parseBlock(cursor, result), start, end: cursor.end, line };
}

function parseSwitch(cursor: Cursor, result: Type): Switch {
  const { start, line } = cursor.expect("switch");
  const selector = made(parseExpression(cursor));
  cursor.expect("{");
  const clauses: Switch["clauses"][number][] = [];
  while (!cursor.accept("}")) {
    const values: Expression[] = [];
    let isDefault = cursor.accept("default");
    if (!isDefault) {
      cursor.expect("case");
      while (!cursor.is(":") && !cursor.is("{")) {
        if (cursor.accept("default")) isDefault = true;
        else values.push(coerced(parseExpression(cursor), selector.type));
        cursor.accept(",");
      }
    }
    cursor.accept(":");
    clauses.push({ values, isDefault, body: parseBlock(cursor, result) });
  }
  return { kind: "switch", selector, clauses, start, end: cursor.end, line };
}

function parseReturn(cursor: Cursor, result: Type): Return {
  const { start, line } = cursor.expect("return");
  const value = cursor.is(";") || result === voidType ? undefined : coerced(parseExpression(cursor), result);
  cursor.expect(";");
  return { kind: "return", value, start, end: cursor.end, line };
}
