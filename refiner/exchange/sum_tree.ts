/** Parts of a batch, from one to before another. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** What is done with partial sums behind a part: a slot holds one, and `leaf` the gradients of the part. */
export interface TreeStep {
  readonly kind: "copy" | "add";
  readonly from: number | "leaf";
  readonly to: number;
}

/** How a process sums its parts. */
export interface TreePlan {
  /** Behind each of the parts. */
  readonly steps: readonly (readonly TreeStep[])[];
  /** What the slots hold in the end, from the first on: the largest subtrees in the range, whose sums others need. */
  readonly roots: readonly Span[];
}

/**
 * The fixed binary tree in which gradients of parts are summed: one part is its own sum; of more, the left subtree holds as many as the
 * largest power of two below their number, and the right one the rest. So processes that hold contiguous ranges of parts can each sum
 * the subtrees in theirs (one where parts / processes is a power of two, else a few per level), and together get the bits of one.
 *
 * Parts come in their order; behind each, sums of the two sides of one node are added. At most ceil(log2(parts)) sums wait at once
 * in one process, beside the gradients of the part.
 *
 * @param range - parts of this process; default: all, which leave one sum in slot 0
 */
export function treePlan(parts: number, range: Span = { from: 0, to: parts }): TreePlan {
  const waiting: Span[] = []; // in each slot
  const joined = (last: Span): Span | undefined => {
    const before = waiting.at(-1);
    return before && areSides(parts, before, last) ? { from: before.from, to: last.to } : undefined;
  };
  const steps = Array.from({ length: range.to - range.from }, (_, i): TreeStep[] => {
    const leaf = { from: range.from + i, to: range.from + i + 1 };
    const pair = joined(leaf); // nothing else is to come that it would wait for
    if (pair) waiting[waiting.length - 1] = pair;
    else waiting.push(leaf);
    const own: TreeStep[] = [{ kind: pair ? "add" : "copy", from: "leaf", to: waiting.length - 1 }];
    for (let last = waiting.pop(); last; last = waiting.pop()) {
      const both = joined(last);
      if (!both) {
        waiting.push(last);
        break;
      }
      own.push({ kind: "add", from: waiting.length, to: waiting.length - 1 });
      waiting[waiting.length - 1] = both;
    }
    return own;
  });
  return { steps, roots: waiting };
}

/** Slots that the sums of a plan wait in. */
export function treeSlots({ steps }: TreePlan): number {
  return 1 + Math.max(0, ...steps.flatMap((some) => some.map(({ to }) => to)));
}

/** Sums of subtrees, in the order of their parts. */
export interface SubtreeSum {
  readonly span: Span;
  readonly values: Float32Array;
}

/**
 * The sum of the whole tree from those of subtrees that have all of its parts, in f32 as devices add. Works in the arrays that it is given.
 *
 * @returns the first array
 */
export function joinSubtrees(parts: number, sums: readonly SubtreeSum[]): Float32Array {
  const waiting: SubtreeSum[] = [];
  for (const sum of sums) {
    waiting.push(sum);
    for (let [left, right] = waiting.slice(-2); left && right; [left, right] = waiting.slice(-2)) {
      if (!areSides(parts, left.span, right.span)) break;
      addTo(left.values, right.values);
      waiting.splice(-2, 2, { span: { from: left.span.from, to: right.span.to }, values: left.values });
    }
  }
  const [whole] = waiting;
  if (!whole || waiting.length > 1) throw new Error(`sums of ${sums.length} subtrees are not those of ${parts} parts`);
  return whole.values;
}

function addTo(sum: Float32Array, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (values[i] ?? 0);
}

/** Whether two spans of the tree are the two sides of one of its nodes. */
function areSides(parts: number, left: Span, right: Span): boolean {
  let [from, to] = [0, parts];
  while (to - from > 1) {
    const middle = from + 2 ** (31 - Math.clz32(to - from - 1)); // behind the largest power of two below their number
    if (left.from === from && right.to === to && left.to === middle) return true;
    if (right.to <= middle) to = middle;
    else if (left.from >= middle) from = middle;
    else return false;
  }
  return false;
}
