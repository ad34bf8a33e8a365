import type { Expression, MatrixType, StructType, Type, VectorType } from "../wgsl/syntax.ts";
import { showType } from "../wgsl/types.ts";
import { WgslError } from "../wgsl/wgsl_error.ts";

/** How many bytes a value takes in a buffer, and what its place is a multiple of (WGSL, "Memory Layout"). */
export interface Layout {
  readonly size: number;
  readonly align: number;
}

/** @throws WgslError for a type that no buffer holds, and for an array whose length is no literal within a larger value */
export function layoutOf(type: Type): Layout {
  switch (type.kind) {
    case "scalar": {
      if (type.name === "f16") return { size: 2, align: 2 };
      if (type.name === "f32" || type.name === "i32" || type.name === "u32") return { size: 4, align: 4 };
      break;
    }
    case "atomic":
      return layoutOf(type.element);
    case "vector": {
      const { size } = layoutOf(type.element);
      return { size: size * type.size, align: size * (type.size === 2 ? 2 : 4) };
    }
    case "matrix": {
      const column = strideOf(columnOf(type));
      return { size: column * type.columns, align: layoutOf(columnOf(type)).align };
    }
    case "array": {
      const { align } = layoutOf(type.element);
      return { size: strideOf(type.element) * (type.length ? literalLength(type.length) : 0), align };
    }
    case "struct": {
      const align = Math.max(...type.fields.map((field) => layoutOf(field.type).align));
      const last = type.fields.at(-1);
      const end = last ? offsetOf(type, last.name) + layoutOf(last.type).size : 0;
      return { size: roundUp(end, align), align };
    }
  }
  throw new WgslError(0, `the interpreter has no place in a buffer for ${showType(type)}`);
}

export function columnOf({ rows, element }: MatrixType): VectorType {
  return { kind: "vector", size: rows, element };
}

/** From one element of an array to the next, in bytes. */
export function strideOf(element: Type): number {
  const { size, align } = layoutOf(element);
  return roundUp(size, align);
}

/** Of a field of a struct, in bytes. */
export function offsetOf(struct: StructType, name: string): number {
  let offset = 0;
  for (const field of struct.fields) {
    const { size, align } = layoutOf(field.type);
    offset = roundUp(offset, align);
    if (field.name === name) return offset;
    offset += size;
  }
  throw new WgslError(0, `${struct.name} has no field ${name}`);
}

function literalLength(length: Expression): number {
  if (length.kind === "literal" && typeof length.value === "number") return length.value;
  throw new WgslError(length.line, "the length of an array in a buffer has to be a literal for the interpreter");
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
