import type { Expression, FunctionDeclaration, Module, Type, ValueDeclaration } from "../wgsl/syntax.ts";
import { showType } from "../wgsl/types.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";
import { columnOf } from "./memory_layout.ts";

/** Names in the JavaScript of one kernel: of what is declared, and of the small functions on vectors that it needs. */
export class CodeScope {
  readonly #names = new Map<ValueDeclaration | FunctionDeclaration, string>();
  readonly #helpers = new Map<string, string>();
  readonly #waiting = new Map<FunctionDeclaration, boolean>();

  constructor(readonly module: Module) {}

  /** WGSL may give one name to several things; JavaScript's rules of scope are others. */
  nameOf(declaration: ValueDeclaration | FunctionDeclaration): string {
    let name = this.#names.get(declaration);
    if (name === undefined) {
      if (!/^\w+$/.test(declaration.name))
        throw new WgslError(declaration.line, `${declaration.name} is no plain name`);
      name = `${declaration.name}_${this.#names.size}`;
      this.#names.set(declaration, name);
    }
    return name;
  }

  /** The name of a function with that text. */
  helper(text: string): string {
    let name = this.#helpers.get(text);
    if (name === undefined) {
      name = `h${this.#helpers.size}`;
      this.#helpers.set(text, name);
    }
    return name;
  }

  get helpers(): string[] {
    return [...this.#helpers].map(([text, name]) => `const ${name}=${text};`);
  }

  /** Whether a call of the function may wait for the other invocations of the workgroup. */
  waits(callee: FunctionDeclaration): boolean {
    const known = this.#waiting.get(callee);
    if (known !== undefined) return known;
    const text = this.module.text.slice(callee.start, callee.end).replace(/\/\/.*/g, "");
    const others = this.module.functions.filter(
      (other) => other !== callee && new RegExp(`\\b${other.name}\\s*\\(`).test(text),
    );
    const waits =
      /\b(?:workgroupBarrier|storageBarrier|workgroupUniformLoad)\b/.test(text) ||
      others.some((other) => this.waits(other));
    this.#waiting.set(callee, waits);
    return waits;
  }

  /** A value of zeros. `lengthOf` gives the text of an array's length. */
  zero(type: Type, lengthOf: (length: Expression) => string): string {
    switch (type.kind) {
      case "scalar":
        return type.name === "bool" ? "false" : "0";
      case "vector":
        return `[${Array.from({ length: type.size }, () => this.zero(type.element, lengthOf)).join(",")}]`;
      case "matrix":
        return `[${Array.from({ length: type.columns }, () => this.zero(columnOf(type), lengthOf)).join(",")}]`;
      case "struct":
        return `{${type.fields.map((field) => `${field.name}:${this.zero(field.type, lengthOf)}`).join(",")}}`;
      case "atomic":
        return `new ${typedArray(type)}(1)`;
      case "array": {
        if (!type.length) break;
        const length = lengthOf(type.length);
        const typed = typedArray(type.element);
        if (typed) return `new ${typed}(${length})`;
        return `Array.from({length:${length}},()=>(${this.zero(type.element, lengthOf)}))`;
      }
    }
    throw new WgslError(0, `the interpreter has no value of ${showType(type)}`);
  }
}

/** The typed array that holds elements of a type, where one does. */
export function typedArray(element: Type): "Float32Array" | "Int32Array" | "Uint32Array" | undefined {
  const scalar = element.kind === "atomic" ? element.element : element;
  if (scalar.kind !== "scalar") return undefined;
  if (scalar.name === "f32") return "Float32Array";
  return scalar.name === "i32" ? "Int32Array" : scalar.name === "u32" ? "Uint32Array" : undefined;
}

/** Whether a value of the type can be changed in part, so that it is copied where it is passed on. */
export function isComposite(type: Type): boolean {
  return type.kind === "array" || type.kind === "struct" || type.kind === "matrix";
}
