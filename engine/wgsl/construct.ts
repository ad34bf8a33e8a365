import type { Construct, Expression, Type } from "./syntax.ts";
import { becomes, elementOf, isAbstract, showType, vector, withElement } from "./types.ts";
import { coerced, made, unifiedAll } from "./typing.ts";
import { WgslError } from "./wgsl_error.ts";

interface Place {
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

/** `T(…)` of a type by name. @throws WgslError where the arguments do not fill it */
export function construct(type: Type, given: readonly Expression[], place: Place): Construct {
  return { kind: "construct", type, arguments: given.length === 0 ? [] : fitted(type, given, place), ...place };
}

/** `vec3(…)` and `array(…)`, whose elements have the type of the arguments. */
export function constructInferred(name: string, given: readonly Expression[], place: Place): Construct {
  const [first] = given;
  if (!first) throw new WgslError(place.line, `${name}() has no type; name it`);
  if (name === "array") {
    const elements = unifiedAll(given).map(made);
    const element = elements[0]?.type ?? first.type;
    const length: Expression = {
      kind: "literal",
      value: elements.length,
      type: { kind: "scalar", name: "u32" },
      ...place,
    };
    return { kind: "construct", type: { kind: "array", element, length }, arguments: elements, ...place };
  }
  const elements = given.map(({ type }) => elementOf(type)).filter((element) => element !== undefined);
  const widest = elements.reduce((a, b) => (becomes(a, b) ? b : a));
  return construct(vector(Number(name.slice(3)), widest), given, place);
}

function fitted(type: Type, given: readonly Expression[], { line }: Place): Expression[] {
  if (type.kind === "struct") {
    if (given.length !== type.fields.length)
      throw new WgslError(line, `${type.name} has ${type.fields.length} fields, not ${given.length}`);
    return given.map((value, i) => coerced(value, type.fields[i]?.type ?? value.type));
  }
  if (type.kind === "array") return given.map((value) => coerced(value, type.element));
  const element = elementOf(type);
  if (!element) throw new WgslError(line, `${showType(type)} cannot be made of values`);
  const size = type.kind === "vector" ? type.size : type.kind === "matrix" ? type.columns * type.rows : 1;
  const count = given.reduce((sum, value) => sum + (value.type.kind === "vector" ? value.type.size : 1), 0);
  const isSplat = type.kind === "vector" && count === 1;
  const isWhole = given.length === 1 && given[0]?.type.kind === type.kind;
  if (count !== size && !isSplat && !isWhole)
    throw new WgslError(line, `${showType(type)} has ${size} elements, not ${count}`);
  // Explicit conversion: concrete numbers of another type stay as they are; literals become what is wanted where they can.
  return given.map((value) => {
    const wanted = withElement(value.type, element);
    if (!isAbstract(value.type)) return value;
    return becomes(value.type, wanted) ? coerced(value, wanted) : made(value);
  });
}
