import type { Expression, ScalarType, Type } from "../wgsl/syntax.ts";
import { elementOf, showType } from "../wgsl/types.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";
import type { CodeScope } from "./code_scope.ts";
import { columnOf, layoutOf, offsetOf, strideOf } from "./memory_layout.ts";

/** Where a value lies, and JavaScript expressions that read and write it. */
export type Place =
  /** In a variable of JavaScript, or in a field of one. */
  | { readonly kind: "js"; readonly text: string }
  /** In an array of JavaScript. */
  | { readonly kind: "item"; readonly array: string; readonly index: string }
  /** One element of a vector, which lies in another place: vectors are replaced as a whole. */
  | { readonly kind: "element"; readonly vector: Place; readonly vectorType: Type; readonly index: string }
  /** At a byte of a bound buffer. */
  | { readonly kind: "memory"; readonly memory: string; readonly byte: string };

/** The place of an expression that names one: a variable, an element, a field. */
export function placeOf(expression: Expression, scope: CodeScope, code: (expression: Expression) => string): Place {
  switch (expression.kind) {
    case "name": {
      const { declaration } = expression;
      const text = scope.nameOf(declaration);
      if (declaration.kind !== "var") return { kind: "js", text };
      if (declaration.space === "storage" || declaration.space === "uniform")
        return { kind: "memory", memory: text, byte: "0" };
      return { kind: "js", text: declaration.space === "private" ? `L.${text}` : text };
    }
    case "index":
      return elementPlace(expression.base, code(expression.index), scope, code);
    case "swizzle":
      if (expression.places.length > 1) return { kind: "js", text: code(expression) };
      return elementPlace(expression.base, String(expression.places[0] ?? 0), scope, code);
    case "field": {
      const base = placeOf(expression.base, scope, code);
      const { type } = expression.base;
      if (base.kind === "memory" && type.kind === "struct")
        return { ...base, byte: `${base.byte}+${offsetOf(type, expression.name)}` };
      return { kind: "js", text: `${readPlace(base, type, scope)}.${expression.name}` };
    }
    default:
      return { kind: "js", text: code(expression) };
  }
}

function elementPlace(base: Expression, index: string, scope: CodeScope, code: (one: Expression) => string): Place {
  const { type } = base;
  const place = placeOf(base, scope, code);
  if (type.kind === "vector") {
    const checked = /^\d+$/.test(index) ? index : `R.at(${index},${type.size})`;
    if (place.kind === "memory") return { ...place, byte: `${place.byte}+${layoutOf(type.element).size}*${checked}` };
    return { kind: "element", vector: place, vectorType: type, index: checked };
  }
  if (type.kind !== "array" && type.kind !== "matrix")
    throw new WgslError(base.line, `the interpreter does not know elements of ${showType(type)}`);
  if (place.kind === "memory") {
    const stride = strideOf(type.kind === "matrix" ? columnOf(type) : type.element);
    const known = type.kind === "matrix" ? String(type.columns) : type.length && code(type.length);
    const length = known ?? `((${place.memory}.size-(${place.byte}))/${stride}|0)`;
    return { ...place, byte: `${place.byte}+${stride}*R.at(${index},${length})` };
  }
  const array = readPlace(place, type, scope);
  return { kind: "item", array, index: `R.at(${index},${array}.length)` };
}

const views: Readonly<Record<string, string>> = { f32: "f", i32: "i", u32: "u" };

function viewOf(element: ScalarType | undefined): string {
  const view = element && views[element.name];
  if (view) return view;
  throw new WgslError(
    0,
    `the interpreter has no ${element?.name ?? "such value"} in buffers; use a variant without it`,
  );
}

/** Reads the value of a place. Arrays and structs in variables are not copied: whoever keeps them does that. */
export function readPlace(place: Place, type: Type, scope: CodeScope): string {
  if (place.kind === "js") return place.text;
  if (place.kind === "item") return `${place.array}[${place.index}]`;
  if (place.kind === "element") return `${readPlace(place.vector, place.vectorType, scope)}[${place.index}]`;
  return memoryRead(place.memory, place.byte, type, scope);
}

function memoryRead(memory: string, byte: string, type: Type, scope: CodeScope): string {
  if (type.kind === "scalar" || type.kind === "atomic")
    return `${memory}.${viewOf(type.kind === "atomic" ? type.element : type)}[${byte}>>2]`;
  if (type.kind === "vector") {
    const view = viewOf(type.element);
    const items = Array.from({ length: type.size }, (_, i) => `m.${view}[w+${i}]`);
    return `${scope.helper(`(m,w)=>[${items.join(",")}]`)}(${memory},${byte}>>2)`;
  }
  if (type.kind === "struct") {
    const fields = type.fields.map(
      (field) => `${field.name}:${memoryRead("m", `b+${offsetOf(type, field.name)}`, field.type, scope)}`,
    );
    return `${scope.helper(`(m,b)=>({${fields.join(",")}})`)}(${memory},${byte})`;
  }
  throw new WgslError(0, `the interpreter does not read a whole ${showType(type)} at once`);
}

/** An expression that writes a value to a place. */
export function writePlace(place: Place, type: Type, value: string, scope: CodeScope): string {
  if (place.kind === "js") return `${place.text}=${value}`;
  if (place.kind === "item") return `${place.array}[${place.index}]=${value}`;
  if (place.kind === "element") {
    const { vector, vectorType, index } = place;
    const changed = `${scope.helper("(v,i,x)=>{const w=v.slice();w[i]=x;return w;}")}(${readPlace(vector, vectorType, scope)},${index},${value})`;
    return writePlace(vector, vectorType, changed, scope);
  }
  if (type.kind === "scalar" || type.kind === "atomic")
    return `${place.memory}.${viewOf(elementOf(type))}[${place.byte}>>2]=${value}`;
  if (type.kind === "vector") {
    const view = viewOf(type.element);
    const items = Array.from({ length: type.size }, (_, i) => `m.${view}[w+${i}]=v[${i}];`);
    return `${scope.helper(`(m,w,v)=>{${items.join("")}}`)}(${place.memory},${place.byte}>>2,${value})`;
  }
  if (type.kind === "struct") {
    const fields = type.fields.map(({ name, type: fieldType }) => {
      const field = { kind: "memory", memory: "m", byte: `b+${offsetOf(type, name)}` } as const;
      return `${writePlace(field, fieldType, `v.${name}`, scope)};`;
    });
    return `${scope.helper(`(m,b,v)=>{${fields.join("")}}`)}(${place.memory},${place.byte},${value})`;
  }
  throw new WgslError(0, `the interpreter does not write a whole ${showType(type)} at once`);
}

/** An array and an index that an atomic lies at. */
export function atomicPlace(place: Place, element: ScalarType): string {
  if (place.kind === "memory") return `${place.memory}.${viewOf(element)},${place.byte}>>2`;
  if (place.kind === "item") return `${place.array},${place.index}`;
  if (place.kind === "js") return `${place.text},0`;
  throw new WgslError(0, "the interpreter knows no atomic elements of vectors");
}
