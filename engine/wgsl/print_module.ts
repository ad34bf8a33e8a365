import type {
  ConstantDeclaration,
  Expression,
  FunctionDeclaration,
  Literal,
  Module,
  Parameter,
  Statement,
  Type,
  VariableDeclaration,
} from "./syntax.ts";

/** A tree as a text that compiles: types in full, numbers with their suffix, every operation in brackets, no comments. */
export function printModule(module: Omit<Module, "text">): string {
  const parts = [
    ...module.extensions.map((name) => `enable ${name};`),
    ...module.structs.map(
      ({ name, fields }) =>
        `struct ${name} {\n${fields.map((field) => `  ${field.name}: ${printType(field.type)},\n`).join("")}}`,
    ),
    ...module.constants.map((declaration) => printDeclaration(declaration)),
    ...module.variables.map((declaration) => printDeclaration(declaration)),
    ...module.functions.map(printFunction),
  ];
  return `${parts.join("\n")}\n`;
}

function printType(type: Type): string {
  switch (type.kind) {
    case "scalar":
    case "struct":
      return type.name;
    case "vector":
      return `vec${type.size}<${type.element.name}>`;
    case "matrix":
      return `mat${type.columns}x${type.rows}<${type.element.name}>`;
    case "array":
      return `array<${printType(type.element)}${type.length ? `, ${printExpression(type.length)}` : ""}>`;
    case "atomic":
      return `atomic<${type.element.name}>`;
    case "pointer":
    case "void":
      return "";
  }
}

function printFunction({ name, parameters, result, body, workgroupSize, subgroupSize }: FunctionDeclaration): string {
  const head = workgroupSize
    ? `@compute @workgroup_size(${workgroupSize.map(printExpression).join(", ")})${subgroupSize ? ` @subgroup_size(${printExpression(subgroupSize)})` : ""}\n`
    : "";
  const arrow = result.kind === "void" ? "" : ` -> ${printType(result)}`;
  return `${head}fn ${name}(${parameters.map(printParameter).join(", ")})${arrow} ${printStatement(body, "")}`;
}

function printParameter({ name, type, builtin }: Parameter): string {
  return `${builtin ? `@builtin(${builtin}) ` : ""}${name}: ${printType(type)}`;
}

function printDeclaration(declaration: ConstantDeclaration | VariableDeclaration): string {
  const { kind, name, type, value } = declaration;
  const isAbstract = printType(type).includes("abstract");
  const typed = `${name}${isAbstract ? "" : `: ${printType(type)}`}${value ? ` = ${printExpression(value)}` : ""};`;
  if (kind !== "var") return `${kind} ${typed}`;
  const { space, access, binding } = declaration;
  if (space === "function") return `var ${typed}`;
  const place = binding === undefined ? "" : `@group(0) @binding(${binding}) `;
  return `${place}var<${space}${space === "storage" ? `, ${access}` : ""}> ${typed}`;
}

function printStatement(statement: Statement, indent: string): string {
  switch (statement.kind) {
    case "block": {
      const inner = `${indent}  `;
      const lines = statement.statements.map((each) => `${inner}${printStatement(each, inner)}\n`);
      return `{\n${lines.join("")}${indent}}`;
    }
    case "if": {
      const { condition, then, otherwise } = statement;
      const rest = otherwise ? ` else ${printStatement(otherwise, indent)}` : "";
      return `if (${printExpression(condition)}) ${printStatement(then, indent)}${rest}`;
    }
    case "for": {
      const { first, condition, step, body } = statement;
      const head = `${first ? printSimple(first) : ""}; ${condition ? printExpression(condition) : ""}; ${step ? printSimple(step) : ""}`;
      return `for (${head}) ${printStatement(body, indent)}`;
    }
    case "switch": {
      const clauses = statement.clauses.map(({ values, isDefault, body }) => {
        const names = [...values.map(printExpression), ...(isDefault ? ["default"] : [])];
        return `${indent}  case ${names.join(", ")}: ${printStatement(body, `${indent}  `)}\n`;
      });
      return `switch (${printExpression(statement.selector)}) {\n${clauses.join("")}${indent}}`;
    }
    case "return":
      return statement.value ? `return ${printExpression(statement.value)};` : "return;";
    case "break":
    case "continue":
      return `${statement.kind};`;
    default:
      return `${printSimple(statement)};`;
  }
}

function printSimple(statement: Statement): string {
  switch (statement.kind) {
    case "declare":
      return printDeclaration(statement.declaration).slice(0, -1);
    case "assign":
      return `${statement.target ? printExpression(statement.target) : "_"} ${statement.operator ?? ""}= ${printExpression(statement.value)}`;
    case "increment":
      return `${printExpression(statement.target)}${statement.by > 0 ? "++" : "--"}`;
    case "call-statement":
      return printExpression(statement.call);
    default:
      return printStatement(statement, "");
  }
}

export function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case "literal":
      return printLiteral(expression);
    case "name":
      return expression.name;
    case "unary":
      return `${expression.operator}(${printExpression(expression.operand)})`;
    case "binary":
      return `(${printExpression(expression.left)} ${expression.operator} ${printExpression(expression.right)})`;
    case "index":
      return `${printExpression(expression.base)}[${printExpression(expression.index)}]`;
    case "field":
      return `${printExpression(expression.base)}.${expression.name}`;
    case "swizzle":
      return `${printExpression(expression.base)}.${expression.places.map((place) => "xyzw".charAt(place)).join("")}`;
    case "call":
      return `${expression.callee.name}(${expression.arguments.map(printExpression).join(", ")})`;
    case "builtin": {
      const target = expression.name === "bitcast" ? `<${printType(expression.type)}>` : "";
      return `${expression.name}${target}(${expression.arguments.map(printExpression).join(", ")})`;
    }
    case "construct":
      return `${constructorOf(expression.type)}(${expression.arguments.map(printExpression).join(", ")})`;
    case "convert":
      return printExpression(expression.operand);
  }
}

/** Abstract elements come from the arguments. */
function constructorOf(type: Type): string {
  if (type.kind === "vector" && type.element.name.startsWith("abstract")) return `vec${type.size}`;
  return printType(type);
}

const suffixes: Readonly<Record<string, string>> = { u32: "u", i32: "i", f32: "f", f16: "h" };

/** Shortest digits that give the value again. */
function printLiteral({ value, type }: Literal): string {
  if (typeof value === "boolean") return String(value);
  const name = type.kind === "scalar" ? type.name : "";
  const digits = String(value);
  if (name === "abstract-float" && /^\d+$/.test(digits)) return `${digits}.0`;
  return `${digits}${suffixes[name] ?? ""}`;
}
