import type { Assign, Block, Declare, Expression, For, If, Increment, Statement, Switch } from "../wgsl/syntax.ts";
import { elementOf } from "../wgsl/types.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";
import type { CodeScope } from "./code_scope.ts";
import { expressionCode, valueCode } from "./expression_code.ts";
import { placeOf, writePlace } from "./place_code.ts";

export function blockCode(block: Block, scope: CodeScope): string {
  return `{${block.statements.map((statement) => statementCode(statement, scope)).join("\n")}}`;
}

function statementCode(statement: Statement, scope: CodeScope): string {
  switch (statement.kind) {
    case "block":
      return blockCode(statement, scope);
    case "if":
      return ifCode(statement, scope);
    case "for":
      return forCode(statement, scope);
    case "switch":
      return switchCode(statement, scope);
    case "return":
      return statement.value ? `return ${valueCode(statement.value, scope)};` : "return;";
    case "break":
    case "continue":
      return `${statement.kind};`;
    default:
      return `${simpleCode(statement, scope)};`;
  }
}

/** Without its semicolon, as it may stand in the head of a loop. */
function simpleCode(statement: Statement, scope: CodeScope): string {
  switch (statement.kind) {
    case "declare":
      return declareCode(statement, scope);
    case "assign":
      return assignCode(statement, scope);
    case "increment":
      return incrementCode(statement, scope);
    case "call-statement":
      return expressionCode(statement.call, scope);
    default:
      throw new WgslError(statement.line, `${statement.kind} cannot stand in the head of a loop`);
  }
}

function declareCode({ declaration }: Declare, scope: CodeScope): string {
  const value = declaration.value
    ? valueCode(declaration.value, scope)
    : scope.zero(declaration.type, (length) => expressionCode(length, scope));
  return `let ${scope.nameOf(declaration)}=${value}`;
}

function assignCode({ target, operator, value, line }: Assign, scope: CodeScope): string {
  if (!target) return expressionCode(value, scope);
  const code = (one: Expression): string => expressionCode(one, scope);
  const place = placeOf(target, scope, code);
  const { type } = target;
  const result: Expression = operator
    ? { kind: "binary", operator, left: target, right: value, type, start: value.start, end: value.end, line }
    : value;
  return writePlace(place, type, valueCode(result, scope), scope);
}

function incrementCode({ target, by, ...place }: Increment, scope: CodeScope): string {
  const one: Expression = { ...place, kind: "literal", value: 1, type: elementOf(target.type) ?? target.type };
  return assignCode({ ...place, kind: "assign", target, operator: by === 1 ? "+" : "-", value: one }, scope);
}

function ifCode({ condition, then, otherwise }: If, scope: CodeScope): string {
  const test = `if(${expressionCode(condition, scope)})${blockCode(then, scope)}`;
  return otherwise ? `${test}else ${statementCode(otherwise, scope)}` : test;
}

function forCode({ first, condition, step, body }: For, scope: CodeScope): string {
  const head = [
    first ? simpleCode(first, scope) : "",
    condition ? expressionCode(condition, scope) : "",
    step ? simpleCode(step, scope) : "",
  ];
  return `for(${head.join(";")})${blockCode(body, scope)}`;
}

function switchCode({ selector, clauses }: Switch, scope: CodeScope): string {
  const parts = clauses.map(({ values, isDefault, body }) => {
    const labels = values.map((value) => `case ${expressionCode(value, scope)}:`).join("");
    return `${labels}${isDefault ? "default:" : ""}${blockCode(body, scope)}break;`;
  });
  return `switch(${expressionCode(selector, scope)}){${parts.join("\n")}}`;
}
