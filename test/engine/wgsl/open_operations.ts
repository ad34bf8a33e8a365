import { parseModule } from "../../../engine/wgsl/parse_module.ts";
import { rewriteFunction } from "../../../engine/wgsl/rewrite.ts";
import type { Expression } from "../../../engine/wgsl/syntax.ts";
import { elementOf, isSingle } from "../../../engine/wgsl/types.ts";

/** What WGSL defines to the bit for f32, on the grid of numbers of the reproducible mode. */
const exact = new Set([
  ..."abs all any bitcast ceil clamp floor max min round select sign transpose trunc".split(" "),
  ..."subgroupBroadcast subgroupShuffle".split(" "),
]);
/** Estimates that the function corrects, and halves of whole numbers, which are exact, as is the first times 2^16. */
const allowed = new Set([
  ...["of_unsigned", "of_signed"].flatMap((name) => [`* in canonical_${name}`, `+ in canonical_${name}`]),
  ...["/ in canonical_quotient", "/ in canonical_root", "sqrt in canonical_root"],
  ..."quotient root pow log exp exp_of scaled_exp of_unsigned of_signed"
    .split(" ")
    .map((name) => `conversion in canonical_${name}`),
]);

/**
 * Operations of f32 in a text that an adapter or compiler may round in another way, as `operation in function`: all but those right
 * inside of a wall (`canonical_kept` and its like), and sums behind a product behind a wall, as `fma` becomes.
 */
export function openOperations(text: string): string[] {
  return parseModule(text).functions.flatMap((declaration) => {
    const found = new Map<Expression, string>();
    const expression = (value: Expression): Expression => {
      const name = openName(value);
      if (name !== undefined) found.set(value, name);
      if (isWall(value) && value.kind === "call" && value.arguments[0] && !isOfMatrices(value.arguments[0]))
        found.delete(value.arguments[0]);
      return value;
    };
    const assign = <T extends { operator?: string; target?: Expression }>(statement: T): T => {
      const { operator, target } = statement;
      if (operator && target && isSingle(target.type)) found.set(target, `${operator}=`);
      return statement;
    };
    rewriteFunction(declaration, { expression, initial: (value) => value, assign });
    const name = declaration.name.replace(/_\d$/, "");
    return [...found.values()].map((each) => `${each} in ${name}`).filter((each) => !allowed.has(each));
  });
}

function openName(value: Expression): string | undefined {
  switch (value.kind) {
    case "binary":
      if (value.operator === "-" && [value.left, value.right].some(isFusedSum)) return "- of a bare sum";
      return isSingle(value.type) && !isFusedSum(value) ? value.operator : undefined;
    case "builtin": {
      const isOfSingle = [value, ...value.arguments].some(({ type }) => isSingle(type));
      return isOfSingle && !exact.has(value.name) ? value.name : undefined;
    }
    case "construct": {
      const isOfWhole = value.arguments.some(({ type }) => /^[iu]32$/.test(elementOf(type)?.name ?? ""));
      return isSingle(value.type) && isOfWhole ? "conversion" : undefined;
    }
    default:
      return undefined;
  }
}

/** Many products and sums at once, which a wall around the result does not part. */
function isOfMatrices(value: Expression): boolean {
  return value.kind === "binary" && [value.left, value.right].some(({ type }) => type.kind === "matrix");
}

function isWall(value: Expression): boolean {
  return value.kind === "call" && /^canonical_(?:kept|product|operand)_/.test(value.callee.name);
}

/** Only the difference with what it added could undo it. */
function isFusedSum(value: Expression): boolean {
  return value.kind === "binary" && value.operator === "+" && isWall(value.left);
}
