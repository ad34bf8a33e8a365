import type { BuiltinCall, Expression, Type } from "./syntax.ts";
import {
  boolType,
  elementOf,
  i32Type,
  isAbstract,
  matrixOf,
  scalar,
  showType,
  u32Type,
  vector,
  voidType,
  withElement,
} from "./types.ts";
import { coerced, made, unifiedAll } from "./typing.ts";
import { WgslError } from "./wgsl_error.ts";

interface Typed {
  readonly arguments: readonly Expression[];
  readonly type: Type;
}

type Rule = (given: readonly Expression[]) => Typed;

const f32 = scalar("f32");

/** All arguments and the result have one type. */
const same: Rule = (given) => {
  const args = unifiedAll(given);
  return { arguments: args, type: args[0]?.type ?? voidType };
};
/** The same for numbers with a fraction: whole literals count as such. */
const real: Rule = (given) =>
  same(
    given.map((x) =>
      elementOf(x.type)?.name === "abstract-int" ? coerced(x, withElement(x.type, scalar("abstract-float"))) : x,
    ),
  );
/** One type in, the type of its elements out. */
const toElement: Rule = (given) => {
  const args = unifiedAll(given);
  return { arguments: args, type: elementOf(args[0]?.type ?? voidType) ?? voidType };
};
const toBool: Rule = (given) => ({ arguments: given, type: boolType });
const whole: Rule = (given) => same(given.map(made));
const nothing: Rule = (given) => ({ arguments: given, type: voidType });
const fixed =
  (type: Type): Rule =>
  (given) => ({ arguments: given.map(made), type });

const select: Rule = ([no, yes, condition, ...more]) => {
  if (!no || !yes || !condition) return { arguments: more, type: voidType };
  const [first, second] = unifiedAll([no, yes]);
  return { arguments: [first ?? no, second ?? yes, condition], type: first?.type ?? no.type };
};

/** The last argument may be a scalar beside vectors. */
const mix: Rule = ([a, b, share]) => {
  if (!a || !b || !share) return { arguments: [], type: voidType };
  const [first = a, second = b] = unifiedAll([a, b]);
  const element = elementOf(first.type) ?? f32;
  return {
    arguments: [first, second, isAbstract(share.type) ? coerced(share, withElement(share.type, element)) : share],
    type: first.type,
  };
};

const ldexp: Rule = ([x, exponent]) => {
  if (!x || !exponent) return { arguments: [], type: voidType };
  const value = made(x);
  return { arguments: [value, coerced(exponent, withElement(exponent.type, i32Type))], type: value.type };
};

const transpose: Rule = (given) => {
  const type = given[0]?.type;
  return {
    arguments: given,
    type: type?.kind === "matrix" ? matrixOf(type.rows, type.columns, type.element) : voidType,
  };
};

const atomic: Rule = ([place, ...values]) => {
  const target = place?.type.kind === "pointer" ? place.type.target : undefined;
  if (!place || target?.kind !== "atomic") return { arguments: [], type: voidType };
  return { arguments: [place, ...values.map((value) => coerced(value, target.element))], type: target.element };
};
const atomicStore: Rule = (given) => ({ ...atomic(given), type: voidType });

const target: Rule = (given) => {
  const type = given[0]?.type;
  return { arguments: given, type: type?.kind === "pointer" ? type.target : voidType };
};

/** A value of one lane for all, or of another lane: the second argument is a place. */
const fromLane: Rule = ([value, lane]) => {
  if (!value || !lane) return { arguments: [], type: voidType };
  const given = made(value);
  return { arguments: [given, isAbstract(lane.type) ? coerced(lane, u32Type) : lane], type: given.type };
};

function rules(rule: Rule, count: number, names: string): [string, { readonly rule: Rule; readonly count: number }][] {
  return names.split(" ").map((name) => [name, { rule, count }]);
}

const table = new Map([
  ...rules(same, 1, "abs sign"),
  ...rules(same, 2, "min max"),
  ...rules(same, 3, "clamp"),
  ...rules(
    real,
    1,
    "sqrt inverseSqrt exp exp2 log log2 sin cos tan tanh floor ceil round trunc fract normalize saturate",
  ),
  ...rules(real, 2, "pow step"),
  ...rules(real, 3, "fma smoothstep"),
  ...rules(mix, 3, "mix"),
  ...rules(ldexp, 2, "ldexp"),
  ...rules(toElement, 2, "dot distance"),
  ...rules(toElement, 1, "length"),
  ...rules(toBool, 1, "all any subgroupAll subgroupAny"),
  ...rules(select, 3, "select"),
  ...rules(transpose, 1, "transpose"),
  ...rules(whole, 1, "countLeadingZeros countOneBits countTrailingZeros firstLeadingBit firstTrailingBit reverseBits"),
  ...rules(fixed(u32Type), 1, "pack2x16float pack4x8unorm arrayLength"),
  ...rules(fixed(vector(2, f32)), 1, "unpack2x16float"),
  ...rules(fixed(vector(4, f32)), 1, "unpack4x8unorm"),
  ...rules(nothing, 0, "workgroupBarrier storageBarrier"),
  ...rules(atomic, 1, "atomicLoad"),
  ...rules(atomic, 2, "atomicAdd atomicSub atomicMax atomicMin atomicAnd atomicOr atomicXor atomicExchange"),
  ...rules(atomicStore, 2, "atomicStore"),
  ...rules(target, 1, "workgroupUniformLoad"),
  ...rules(whole, 1, "subgroupAdd subgroupMax subgroupMin subgroupBroadcastFirst"),
  ...rules(fromLane, 2, "subgroupBroadcast subgroupShuffle subgroupShuffleXor subgroupShuffleUp subgroupShuffleDown"),
]);

export function isBuiltin(name: string): boolean {
  return table.has(name);
}

/** The typed call of a function of the language. @throws WgslError where the arguments do not fit */
export function builtinCall(
  name: string,
  given: readonly Expression[],
  place: { start: number; end: number; line: number },
): BuiltinCall {
  const entry = table.get(name);
  if (!entry || entry.count !== given.length)
    throw new WgslError(
      place.line,
      `${name} of ${given.length} arguments is not known; expected ${entry?.count ?? "a known function"}`,
    );
  const typed = entry.rule(given);
  if (typed.type.kind === "void" && entry.rule !== nothing && entry.rule !== atomicStore)
    throw new WgslError(place.line, `${name} does not take ${given.map(({ type }) => showType(type)).join(", ")}`);
  return { kind: "builtin", name, ...typed, ...place };
}
