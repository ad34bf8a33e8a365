import { describe, expect, it } from "vitest";
import { einsum, OptionError, ShapeError, sum } from "../../../engine/index.ts";
import { expectClose, roundOff, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });
const lengths: Readonly<Record<string, number>> = { a: 2, b: 3, c: 4, d: 5, e: 1 };

/** Loops over all letters. */
function reference(equation: string, operands: readonly ArrayLike<number>[]): Float64Array {
  const [inputs = "", out = ""] = equation.replaceAll(" ", "").split("->");
  const terms = inputs.split(",");
  const letters = [...new Set(inputs.replaceAll(",", ""))];
  const place = (term: string, at: Readonly<Record<string, number>>) =>
    [...term].reduce((index, letter) => index * (lengths[letter] ?? 1) + (at[letter] ?? 0), 0);
  const size = [...out].reduce((product, letter) => product * (lengths[letter] ?? 1), 1);
  const y = new Float64Array(size);
  const visit = (left: readonly string[], at: Readonly<Record<string, number>>): void => {
    const [letter, ...rest] = left;
    if (letter === undefined) {
      const to = place(out, at);
      y[to] = (y[to] ?? 0) + terms.reduce((product, term, i) => product * (operands[i]?.[place(term, at)] ?? 0), 1);
      return;
    }
    for (let i = 0; i < (lengths[letter] ?? 1); i++) visit(rest, { ...at, [letter]: i });
  };
  visit(letters, {});
  return y;
}

const tensors = (equation: string) =>
  (equation.split("->")[0] ?? "")
    .replaceAll(" ", "")
    .split(",")
    .map((term, i) => {
      const shape = [...term].map((letter) => lengths[letter] ?? 1);
      const data = valuesOf(
        "normal",
        i + 1,
        shape.reduce((product, length) => product * length, 1),
      );
      return { data, x: device.tensor(data, shape) };
    });

describe("einsum", () => {
  it.each([
    "ab,bc->ac",
    "abc, abd -> acd",
    "abd,acd->abc",
    "ab->ba",
    "abc->b",
    "ab,cd->abcd",
    "ab,ab->",
    "abc,c->ab",
    "ac,bc,ad->bd",
    "abe,eb->a",
    "abc,d->cb",
  ])("%s is what loops give", async (equation) => {
    const given = tensors(equation);
    const y = await einsum(equation, ...given.map(({ x }) => x)).read();
    expectClose(
      equation,
      y,
      reference(
        equation,
        given.map(({ data }) => data),
      ),
      200 * roundOff,
      1,
    );
  });

  it("hands gradients on", async () => {
    const given = tensors("abc,abd->acd");
    const [left, right] = given.map(({ x }) => x);
    if (!left || !right) throw new Error("two operands");
    const y = einsum("abc,abd->acd", left, right);
    const [dLeft = left] = y.program.gradients(sum(y), [left]);
    // of a sum of everything: the other operand, summed over d
    const expected = reference("abd,abc->abc", [given[1]?.data ?? [], new Float64Array(24).fill(1)]);
    expectClose("dLeft", await dLeft.read(), expected, 100 * roundOff, 1);
  });

  it("names what it does not do", () => {
    const x = device.zeros([2, 2]);
    expect(() => einsum("ii->i", x)).toThrow(OptionError);
    expect(() => einsum("ij->k", x)).toThrow('einsum: "ij->k" is not like "ij,jk->ik"');
    expect(() => einsum("ij,jk->ik", x)).toThrow('einsum: "ij,jk->ik" names 2 operands, got 1');
    expect(() => einsum("ij,jk->ik", x, device.zeros([3, 2]))).toThrow(
      new ShapeError('einsum: j of "ij,jk->ik" has the lengths 2 and 3; expected one'),
    );
  });
});
