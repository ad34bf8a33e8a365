import type { ArrayType, MatrixType, ScalarName, ScalarType, Type, VectorType } from "./syntax.ts";

export const voidType: Type = { kind: "void" };

const scalars = new Map<string, ScalarType>(
  (["bool", "i32", "u32", "f32", "f16", "abstract-int", "abstract-float"] as const).map((name) => [
    name,
    { kind: "scalar", name },
  ]),
);

export function scalar(name: ScalarName): ScalarType {
  return scalars.get(name) ?? { kind: "scalar", name };
}

export const boolType = scalar("bool");
export const u32Type = scalar("u32");
export const i32Type = scalar("i32");

export function vector(size: number, element: ScalarType): VectorType {
  return { kind: "vector", size: sizeOf(size), element };
}

function sizeOf(size: number): 2 | 3 | 4 {
  if (size === 2 || size === 3 || size === 4) return size;
  throw new RangeError(`a vector of ${size} elements; WGSL has 2, 3 and 4`);
}

/** The type of a name of the language such as `f32`, `vec4f` and `mat4x4f`. */
export function predeclaredType(name: string): Type | undefined {
  const plain = scalars.get(name);
  if (plain) return plain;
  const element = { f: "f32", h: "f16", i: "i32", u: "u32" } as const;
  const short = /^vec([234])([fhiu])$/.exec(name);
  if (short) return vector(Number(short[1]), scalar(element[letter(short[2])]));
  const matrix = /^mat([234])x([234])([fh])$/.exec(name);
  if (matrix) return matrixOf(Number(matrix[1]), Number(matrix[2]), scalar(element[letter(matrix[3])]));
  return undefined;
}

function letter(text = ""): "f" | "h" | "i" | "u" {
  return text === "h" || text === "i" || text === "u" ? text : "f";
}

export function matrixOf(columns: number, rows: number, element: ScalarType): MatrixType {
  return { kind: "matrix", columns: sizeOf(columns), rows: sizeOf(rows), element };
}

export function sameType(a: Type, b: Type): boolean {
  if (a === b) return true;
  if (a.kind === "scalar") return b.kind === "scalar" && a.name === b.name;
  if (a.kind === "vector") return b.kind === "vector" && a.size === b.size && sameType(a.element, b.element);
  if (a.kind === "matrix")
    return b.kind === "matrix" && a.columns === b.columns && a.rows === b.rows && sameType(a.element, b.element);
  if (a.kind === "array") return b.kind === "array" && sameType(a.element, b.element);
  if (a.kind === "atomic") return b.kind === "atomic" && sameType(a.element, b.element);
  if (a.kind === "struct") return b.kind === "struct" && a.name === b.name;
  if (a.kind === "pointer") return b.kind === "pointer" && sameType(a.target, b.target);
  return b.kind === "void";
}

/** Of a scalar itself, of a vector or a matrix that of its elements. */
export function elementOf(type: Type): ScalarType | undefined {
  if (type.kind === "scalar") return type;
  return type.kind === "vector" || type.kind === "matrix" ? type.element : undefined;
}

/** The same shape with another element. */
export function withElement(type: Type, element: ScalarType): Type {
  if (type.kind === "scalar") return element;
  return type.kind === "vector" || type.kind === "matrix" ? { ...type, element } : type;
}

export function isAbstract(type: Type): boolean {
  if (type.kind === "array") return isAbstract(type.element);
  return elementOf(type)?.name.startsWith("abstract") ?? false;
}

/** Whether values of the type are f32, or vectors or matrices of f32. */
export function isSingle(type: Type): boolean {
  return elementOf(type)?.name === "f32";
}

/** Whether a value of `from` may stand where `to` is wanted without a word: the same, or abstract and able to become it. */
export function becomes(from: Type, to: Type): boolean {
  if (sameType(from, to)) return true;
  if (from.kind === "array" && to.kind === "array") return becomes(from.element, to.element);
  const [given, wanted] = [elementOf(from), elementOf(to)];
  if (!given || !wanted || !sameType(withElement(from, wanted), to)) return false;
  if (given.name === "abstract-int") return wanted.name !== "bool";
  return given.name === "abstract-float" && ["f32", "f16", "abstract-float"].includes(wanted.name);
}

/** What an abstract type is without a wish: i32 or f32. */
export function concrete(type: Type): Type {
  if (type.kind === "array") return { ...type, element: concrete(type.element) } satisfies ArrayType;
  const element = elementOf(type);
  if (element?.name === "abstract-int") return withElement(type, i32Type);
  if (element?.name === "abstract-float") return withElement(type, scalar("f32"));
  return type;
}

/** As WGSL writes it, but for the length of arrays. */
export function showType(type: Type): string {
  switch (type.kind) {
    case "scalar":
      return type.name;
    case "vector":
      return `vec${type.size}<${type.element.name}>`;
    case "matrix":
      return `mat${type.columns}x${type.rows}<${type.element.name}>`;
    case "array":
      return `array<${showType(type.element)}${type.length ? ", …" : ""}>`;
    case "atomic":
      return `atomic<${type.element.name}>`;
    case "struct":
      return type.name;
    case "pointer":
      return `pointer to ${showType(type.target)}`;
    case "void":
      return "nothing";
  }
}
