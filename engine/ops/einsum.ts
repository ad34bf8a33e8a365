import { OptionError, ShapeError } from "../core/errors.ts";
import { showShape, sizeOf } from "../core/shape.ts";
import { reshape, type Tensor } from "../core/tensor.ts";
import { matmul } from "./matmul.ts";
import { permute } from "./permute.ts";
import { sum } from "./reduce.ts";

/** A tensor whose axes have letters. */
interface Named {
  readonly x: Tensor;
  readonly labels: readonly string[];
}

/**
 * Sums of products by Einstein's convention, such as `einsum("bqd,bkd->bqk", q, k)`: axes of one letter are aligned, and letters that the
 * result lacks are summed over. Each pair is one matrix product of permuted operands, from the left; so order the operands by size.
 *
 * @param equation - letters of each operand, with commas, `->` and the letters of the result; spaces mean nothing
 * @param operands - f32, or all f16
 * @throws OptionError for an equation that does not fit or repeats a letter within one operand, ShapeError for letters of two lengths
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  const [inputs, result, ...more] = equation.replaceAll(" ", "").split("->");
  const terms = inputs?.split(",") ?? [];
  const out = [...(result ?? "")];
  const isPlain = [...terms, out.join("")].every(
    (term) => /^[a-zA-Z]*$/.test(term) && new Set(term).size === term.length,
  );
  const known = new Set(terms.join(""));
  if (result === undefined || more.length > 0 || !isPlain || !out.every((label) => known.has(label))) {
    throw new OptionError(
      `einsum: "${equation}" is not like "ij,jk->ik": letters of each operand and of the result, none twice within one, those of the result among them; take sum, reshape or gather for the rest`,
    );
  }
  if (terms.length !== operands.length)
    throw new OptionError(`einsum: "${equation}" names ${terms.length} operands, got ${operands.length}`);
  const named = operands.map((x, i): Named => ({ x, labels: [...(terms[i] ?? "")] }));
  checkLengths(equation, named);
  const [first, ...others] = named;
  if (!first) throw new OptionError("einsum: no operand; give at least one tensor");
  let left = first;
  others.forEach((right, i) => {
    const later = new Set([...out, ...others.slice(i + 1).flatMap(({ labels }) => labels)]);
    left = contract(left, right, later);
  });
  return arranged(summed(left, new Set(out)), out).x;
}

function checkLengths(equation: string, named: readonly Named[]): void {
  const lengths = new Map<string, number>();
  for (const { x, labels } of named) {
    if (labels.length !== x.shape.length)
      throw new ShapeError(
        `einsum: "${labels.join("")}" of "${equation}" does not name the axes of ${showShape(x.shape)}`,
      );
    for (const [axis, label] of labels.entries()) {
      const length = x.shape[axis] ?? 1;
      const known = lengths.get(label) ?? length;
      if (known !== length)
        throw new ShapeError(`einsum: ${label} of "${equation}" has the lengths ${known} and ${length}; expected one`);
      lengths.set(label, length);
    }
  }
}

/** The product of two operands over the letters that nothing needs later. */
function contract(a: Named, b: Named, later: ReadonlySet<string>): Named {
  const left = summed(a, new Set([...later, ...b.labels]));
  const right = summed(b, new Set([...later, ...a.labels]));
  const shared = left.labels.filter((label) => right.labels.includes(label));
  const batch = shared.filter((label) => later.has(label));
  const depth = shared.filter((label) => !later.has(label));
  const rows = left.labels.filter((label) => !shared.includes(label));
  const columns = right.labels.filter((label) => !shared.includes(label));
  const lengthOf = (label: string): number => {
    const holder = left.labels.includes(label) ? left : right;
    return holder.x.shape[holder.labels.indexOf(label)] ?? 1;
  };
  const size = (labels: readonly string[]): number => sizeOf(labels.map(lengthOf));
  const matrices = (operand: Named, lines: readonly string[]): Tensor =>
    reshape(arranged(operand, [...batch, ...lines, ...depth]).x, [size(batch), size(lines), size(depth)]);
  const y = matmul(matrices(left, rows), matrices(right, columns), { transposeB: true });
  const labels = [...batch, ...rows, ...columns];
  return { x: reshape(y, labels.map(lengthOf)), labels };
}

/** Without the letters that nothing needs. */
function summed({ x, labels }: Named, needed: ReadonlySet<string>): Named {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]));
  return axes.length === 0
    ? { x, labels }
    : { x: sum(x, { axes }), labels: labels.filter((label) => needed.has(label)) };
}

/** The axes in the order of the letters. */
function arranged({ x, labels }: Named, order: readonly string[]): Named {
  if (order.join() === labels.join()) return { x, labels };
  return {
    x: permute(
      x,
      order.map((label) => labels.indexOf(label)),
    ),
    labels: order,
  };
}
