import { Cursor, type Meaning } from "./cursor.ts";
import type { Token } from "./lexer.ts";
import { parseExpression, parseType } from "./parse_expression.ts";
import { initial, parseStatements } from "./parse_statement.ts";
import type {
  ConstantDeclaration,
  Expression,
  FunctionDeclaration,
  Module,
  Parameter,
  StructType,
  Type,
  VariableDeclaration,
} from "./syntax.ts";
import { voidType } from "./types.ts";
import { made, unifiedAll } from "./typing.ts";

/**
 * The tree of a kernel's text, as {@link shaderText} gives it. It knows the part of WGSL that kernels use.
 *
 * @throws WgslError that names what it does not know, with its line
 */
export function parseModule(text: string): Module {
  const items = new Map<string, number>();
  const meanings = new Map<string, Meaning>();
  const open = new Set<string>();
  const cursor: Cursor = new Cursor(text, (name) => {
    const known = meanings.get(name);
    const at = items.get(name);
    if (known || at === undefined) return known;
    if (open.has(name)) throw cursor.error(`${name} needs itself`);
    open.add(name);
    const meaning = cursor.elsewhere(at, () => parseItem(cursor));
    open.delete(name);
    meanings.set(name, meaning);
    return meaning;
  });
  const extensions = parseEnables(cursor);
  listItems(cursor, items);
  for (const name of items.keys()) cursor.global(name);
  const found = [...items.keys()].map((name) => meanings.get(name)).filter((meaning) => meaning !== undefined);
  const values = found.flatMap((meaning) => (meaning.kind === "value" ? [meaning.declaration] : []));
  return {
    text,
    extensions,
    structs: found.flatMap((meaning) =>
      meaning.kind === "type" && meaning.type.kind === "struct" ? [meaning.type] : [],
    ),
    constants: values.filter((value) => value.kind !== "var" && value.kind !== "parameter"),
    variables: values.filter((value) => value.kind === "var"),
    functions: found.flatMap((meaning) => (meaning.kind === "function" ? [meaning.declaration] : [])),
  };
}

function parseEnables(cursor: Cursor): string[] {
  const names: string[] = [];
  while (cursor.accept("enable")) {
    names.push(cursor.word().text);
    cursor.expect(";");
  }
  return names;
}

/** Where each declaration of the module begins, its attributes included, by name. */
function listItems(cursor: Cursor, items: Map<string, number>): void {
  while (cursor.peek().kind !== "end") {
    const { at } = cursor;
    if (cursor.accept(";")) continue;
    skipAttributes(cursor);
    const keyword = cursor.word();
    if (keyword.text === "var" && cursor.accept("<")) while (!cursor.accept(">")) cursor.next();
    const { text: name } = cursor.word();
    if (items.has(name)) throw cursor.error(`${name} is declared twice`, keyword);
    items.set(name, at);
    skipItem(cursor, keyword);
  }
}

function skipItem(cursor: Cursor, keyword: Token): void {
  if (keyword.text === "fn") {
    cursor.expect("(");
    cursor.skipTo(")");
    while (!cursor.accept("{")) cursor.next();
    cursor.skipTo("}");
  } else if (keyword.text === "struct") {
    cursor.expect("{");
    cursor.skipTo("}");
  } else if (["const", "override", "var", "alias"].includes(keyword.text)) {
    cursor.skipTo(";");
  } else {
    throw cursor.error(`${keyword.text} begins no declaration that kernels may use`, keyword);
  }
}

function skipAttributes(cursor: Cursor): void {
  while (cursor.accept("@")) {
    cursor.word();
    if (cursor.accept("(")) cursor.skipTo(")");
  }
}

function parseItem(cursor: Cursor): Meaning {
  const attributes = parseAttributes(cursor);
  const { text: keyword, start, line } = cursor.word();
  if (keyword === "fn") return { kind: "function", declaration: parseFunction(cursor, { start, line }, attributes) };
  if (keyword === "struct") return { kind: "type", type: parseStruct(cursor) };
  if (keyword === "alias") {
    cursor.word();
    cursor.expect("=");
    return { kind: "type", type: parseType(cursor) };
  }
  const [space = "private", access] = keyword === "var" && cursor.accept("<") ? parseSpace(cursor) : [];
  const { text: name } = cursor.word();
  const wanted = cursor.accept(":") ? parseType(cursor) : undefined;
  const given = cursor.accept("=") ? initial(parseExpression(cursor), wanted, keyword === "const") : undefined;
  const type = wanted ?? given?.type;
  if (!type) throw cursor.error(`${name} has neither a type nor a value`);
  cursor.expect(";");
  const span = { start, end: cursor.end, line };
  if (keyword !== "var") return { kind: "value", declaration: constant(keyword, name, type, given, span) };
  if (space !== "private" && space !== "workgroup" && space !== "uniform" && space !== "storage")
    throw cursor.error(`var<${space}> is not known`);
  const isWritten = access === "read_write" || space === "private" || space === "workgroup";
  const declaration: VariableDeclaration = {
    kind: "var",
    name,
    type,
    space,
    access: isWritten ? "read_write" : "read",
    binding: attributes.binding,
    value: given,
    ...span,
  };
  return { kind: "value", declaration };
}

function constant(
  keyword: string,
  name: string,
  type: Type,
  value: Expression | undefined,
  span: { start: number; end: number; line: number },
): ConstantDeclaration {
  return { kind: keyword === "override" ? "override" : "const", name, type, value, ...span };
}

function parseSpace(cursor: Cursor): string[] {
  const words = [cursor.word().text];
  while (cursor.accept(",")) words.push(cursor.word().text);
  cursor.expect(">");
  return words;
}

interface Attributes {
  binding?: number;
  builtin?: string;
  workgroupSize?: Expression[];
  subgroupSize?: Expression;
}

function parseAttributes(cursor: Cursor): Attributes {
  const found: Attributes = {};
  while (cursor.accept("@")) {
    if (cursor.accept("compute")) continue;
    const name = cursor.word();
    cursor.expect("(");
    parseAttribute(cursor, name, found);
    cursor.expect(")");
  }
  return found;
}

function parseAttribute(cursor: Cursor, name: Token, found: Attributes): void {
  switch (name.text) {
    case "group":
      if (cursor.next().text !== "0") throw cursor.error("kernels have their bindings in group 0", name);
      return;
    case "binding":
      found.binding = Number(cursor.next().text);
      return;
    case "builtin":
      found.builtin = cursor.word().text;
      return;
    case "workgroup_size":
      found.workgroupSize = parseSizes(cursor);
      return;
    case "subgroup_size":
      found.subgroupSize = made(parseExpression(cursor));
      return;
  }
  throw cursor.error(`@${name.text} is not known`, name);
}

function parseSizes(cursor: Cursor): Expression[] {
  const sizes: Expression[] = [];
  while (!cursor.is(")")) {
    sizes.push(parseExpression(cursor));
    cursor.accept(",");
  }
  return unifiedAll(sizes).map(made);
}

function parseStruct(cursor: Cursor): StructType {
  const { text: name } = cursor.word();
  cursor.expect("{");
  const fields: { name: string; type: Type }[] = [];
  while (!cursor.is("}")) {
    const { text: field } = cursor.word();
    cursor.expect(":");
    fields.push({ name: field, type: parseType(cursor) });
    cursor.accept(",");
  }
  cursor.expect("}");
  return { kind: "struct", name, fields };
}

function parseFunction(
  cursor: Cursor,
  { start, line }: { readonly start: number; readonly line: number },
  { workgroupSize, subgroupSize }: Attributes,
): FunctionDeclaration {
  return cursor.within(() => {
    const { text: name } = cursor.word();
    cursor.expect("(");
    const parameters: Parameter[] = [];
    while (!cursor.is(")")) {
      const { builtin } = parseAttributes(cursor);
      const { text: parameter, start: from, line: at } = cursor.word();
      cursor.expect(":");
      const type = parseType(cursor);
      const declaration: Parameter = {
        kind: "parameter",
        name: parameter,
        type,
        builtin,
        start: from,
        end: cursor.end,
        line: at,
      };
      parameters.push(declaration);
      cursor.declare(declaration);
      cursor.accept(",");
    }
    cursor.expect(")");
    const result = cursor.accept("->") ? parseType(cursor) : voidType;
    const body = parseStatements(cursor, result);
    return {
      kind: "function",
      name,
      parameters,
      result,
      body,
      workgroupSize,
      subgroupSize,
      start,
      end: cursor.end,
      line,
    };
  });
}
