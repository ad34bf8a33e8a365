import type { Block, Expression, FunctionDeclaration, If, Statement, VariableDeclaration } from "./syntax.ts";

/** What a tree becomes: each part is given with its own parts already rewritten. Constants that compilers compute are left alone. */
export interface Rewriting {
  readonly expression: (expression: Expression) => Expression;
  /** Of a variable. */
  readonly initial: (value: Expression) => Expression;
  readonly assign: (statement: Extract<Statement, { kind: "assign" }>) => Statement;
}

export function rewriteFunction(declaration: FunctionDeclaration, rewriting: Rewriting): FunctionDeclaration {
  return { ...declaration, body: rewriteBlock(declaration.body, rewriting) };
}

function rewriteBlock(block: Block, rewriting: Rewriting): Block {
  return { ...block, statements: block.statements.map((statement) => rewriteStatement(statement, rewriting)) };
}

function rewriteStatement(statement: Statement, rewriting: Rewriting): Statement {
  const value = (expression: Expression): Expression => rewriteExpression(expression, rewriting);
  switch (statement.kind) {
    case "block":
      return rewriteBlock(statement, rewriting);
    case "declare": {
      const { declaration } = statement;
      if (declaration.kind === "const") return statement;
      if (declaration.kind === "var") return { ...statement, declaration: rewriteVariable(declaration, rewriting) };
      return { ...statement, declaration: { ...declaration, value: declaration.value && value(declaration.value) } };
    }
    case "assign": {
      const target = statement.target && value(statement.target);
      return rewriting.assign({ ...statement, target, value: value(statement.value) });
    }
    case "call-statement": {
      const call = value(statement.call);
      return call.kind === "call" || call.kind === "builtin" ? { ...statement, call } : statement;
    }
    case "if":
      return rewriteIf(statement, rewriting);
    case "for": {
      const { first, condition, step, body } = statement;
      return {
        ...statement,
        first: first && rewriteStatement(first, rewriting),
        condition: condition && value(condition),
        step: step && rewriteStatement(step, rewriting),
        body: rewriteBlock(body, rewriting),
      };
    }
    case "switch":
      return {
        ...statement,
        selector: value(statement.selector),
        clauses: statement.clauses.map((clause) => ({ ...clause, body: rewriteBlock(clause.body, rewriting) })),
      };
    case "return":
      return { ...statement, value: statement.value && value(statement.value) };
    case "increment":
    case "break":
    case "continue":
      return statement;
  }
}

function rewriteVariable(declaration: VariableDeclaration, rewriting: Rewriting): VariableDeclaration {
  const { start, end, line, type } = declaration;
  const isNumber = type.kind === "scalar" || type.kind === "vector";
  const zero: Expression | undefined = isNumber
    ? { kind: "construct", type, arguments: [], start, end, line }
    : undefined;
  const value = declaration.value ? rewriteExpression(declaration.value, rewriting) : zero;
  return { ...declaration, value: value && rewriting.initial(value) };
}

function rewriteIf(statement: If, rewriting: Rewriting): If {
  const { otherwise } = statement;
  const then = rewriteBlock(statement.then, rewriting);
  return {
    ...statement,
    condition: rewriteExpression(statement.condition, rewriting),
    then,
    otherwise:
      otherwise?.kind === "if" ? rewriteIf(otherwise, rewriting) : otherwise && rewriteBlock(otherwise, rewriting),
  };
}

function rewriteExpression(expression: Expression, rewriting: Rewriting): Expression {
  const part = (inner: Expression): Expression => rewriteExpression(inner, rewriting);
  switch (expression.kind) {
    case "literal":
    case "name":
    case "convert": // of constants only
      return expression;
    case "unary":
      return rewriting.expression({ ...expression, operand: part(expression.operand) });
    case "binary":
      return rewriting.expression({ ...expression, left: part(expression.left), right: part(expression.right) });
    case "index":
      return rewriting.expression({ ...expression, base: part(expression.base), index: part(expression.index) });
    case "field":
    case "swizzle":
      return rewriting.expression({ ...expression, base: part(expression.base) });
    case "call":
    case "builtin":
    case "construct":
      return rewriting.expression({ ...expression, arguments: expression.arguments.map(part) });
  }
}
