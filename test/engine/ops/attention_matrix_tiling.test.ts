import { describe, expect, it } from "vitest";
import { attentionForms } from "../../../engine/ops/attention_matrix.ts";
import { attentionMatrixText } from "../../../engine/ops/attention_matrix_text.ts";
import {
  type AttentionTiling,
  attentionIndices,
  attentionTiling,
  resultChunks,
} from "../../../engine/ops/attention_matrix_tiling.ts";
import { knownMatrices } from "../../../engine/ops/products/known_matrices.ts";
import { expression, type Names } from "./index_expression.ts";

const headDims = [4, 20, 64, 80, 128];
const range = (length: number, step = 1): number[] =>
  Array.from({ length: Math.ceil(length / step) }, (_, i) => i * step);

function value(text: string | number, names: Names): number {
  return expression(String(text).replace(/(\d)u\b/g, "$1"))(names);
}

/** What stands where in a memory: each place is written once. */
class Memory {
  readonly #held = new Map<number, string>();

  write(at: number, what: string): void {
    if (this.#held.has(at)) throw new Error(`element ${at} is written twice`);
    this.#held.set(at, what);
  }

  /** A matrix at an offset; `what` names each of its elements. */
  expectMatrix(
    { offset, stride, alignment }: { offset: number; stride: number; alignment: number },
    [lines, length]: readonly [number, number],
    what: (line: number, at: number) => string,
  ): void {
    if (offset % alignment !== 0 || stride % alignment !== 0)
      throw new Error(`${offset} and ${stride} are not aligned`);
    for (const line of range(lines)) {
      for (const at of range(length)) {
        const found = this.#held.get(offset + line * stride + at);
        if (found !== what(line, at)) throw new Error(`a matrix takes ${found}, expected ${what(line, at)}`);
      }
    }
  }

  get size(): number {
    return this.#held.size;
  }
}

/** A tile of rows as its vectors come in; what the head does not have is zero. */
function staged(tiling: AttentionTiling, count: number, to: string, name: string): Memory {
  const index = attentionIndices(tiling);
  const memory = new Memory();
  for (const i of range(count)) {
    const names = { i, rowIn: value(index.rowIn, { i }), vectorIn: value(index.vectorIn, { i }) };
    const isThere = value(index.hasVector, names) === 1;
    const first = value(to, names);
    for (const e of range(4)) {
      const dim = 4 * names.vectorIn + e;
      memory.write(first + e, isThere ? `${name} ${names.rowIn} ${dim}` : "zero");
    }
  }
  return memory;
}

/** Follows every element of a workgroup from its vector, through its matrices, to its weight. @throws where one is not in its place */
function follow(tiling: AttentionTiling): void {
  followKeys(tiling);
  followWeights(tiling, followQueries(tiling));
  const chunks = resultChunks(tiling);
  expect(chunks.reduce((sum, { length }) => sum + length, 0)).toBe(tiling.dims);
  expect(chunks.every(({ first, length }) => first % tiling.shape.columns === 0 && length <= tiling.keys)).toBe(true);
}

function alignmentOf({ shape }: AttentionTiling): number {
  return shape.component === "f32" ? 4 : 8;
}

function element(name: string, row: number, dim: number, { headDim }: AttentionTiling): string {
  return dim < headDim ? `${name} ${row} ${dim}` : "zero";
}

function followKeys(tiling: AttentionTiling): void {
  const { shape, keys, dims, strideTile: stride } = tiling;
  const index = attentionIndices(tiling);
  const alignment = alignmentOf(tiling);
  const keyTile = staged(tiling, index.countKeys, index.toTile, "k");
  const valueTile = staged(tiling, index.countKeys, index.toValues, "v");
  for (const c of range(keys, shape.columns)) {
    for (const d of range(dims, shape.depth)) {
      // Column by column: the lines of the memory are the columns of the matrix.
      const at = { offset: value(index.key(c, d), {}), stride, alignment };
      keyTile.expectMatrix(at, [shape.columns, shape.depth], (line, i) => element("k", c + line, d + i, tiling));
    }
  }
  for (const k of range(keys, shape.depth)) {
    for (const c of range(dims, shape.columns)) {
      const at = { offset: value(index.value(k, c), {}), stride, alignment };
      valueTile.expectMatrix(at, [shape.depth, shape.columns], (line, i) => element("v", k + line, c + i, tiling));
    }
  }
}

/** Names and first rows of all matrices of queries. */
function matricesOf(tiling: AttentionTiling) {
  const { ownRow } = attentionIndices(tiling);
  return range(tiling.subgroups).flatMap((subgroup) =>
    range(tiling.matrices).map((r) => ({
      r,
      row: subgroup * tiling.matrices * tiling.shape.rows + r * tiling.shape.rows,
      names: { subgroup, ownRow: value(ownRow, { subgroup }) },
    })),
  );
}

/** @returns what the products leave in the memory of the scores */
function followQueries(tiling: AttentionTiling): Memory {
  const { shape, keys, dims, strideTile: stride } = tiling;
  const index = attentionIndices(tiling);
  const queryTile = staged(tiling, index.countQueries, index.toTile, "q");
  const scores = new Memory();
  for (const { r, row, names } of matricesOf(tiling)) {
    for (const d of range(dims, shape.depth)) {
      const at = { offset: value(index.query(r, d), names), stride, alignment: alignmentOf(tiling) };
      queryTile.expectMatrix(at, [shape.rows, shape.depth], (line, i) => element("q", row + line, d + i, tiling));
    }
    for (const c of range(keys, shape.columns)) {
      const first = value(index.score(r, c), names);
      for (const e of range(shape.rows * shape.columns)) {
        const [line, i] = [Math.floor(e / shape.columns), e % shape.columns];
        scores.write(first + line * tiling.strideScores + i, `s ${row + line} ${c + i}`);
      }
    }
  }
  return scores;
}

function followWeights(tiling: AttentionTiling, scores: Memory): void {
  const { shape, keys, rows, invocations } = tiling;
  const index = attentionIndices(tiling);
  const [weights, parts] = [new Memory(), new Memory()];
  for (const at of range(invocations)) {
    const part = value(index.part, { index: at });
    const end = value(index.endRow, { index: at });
    for (let row = value(index.firstRow, { index: at }); row < end; row += index.rowStep) {
      const atRow = { offset: value(index.atScores, { row }), stride: tiling.strideScores, alignment: 1 };
      scores.expectMatrix(atRow, [1, keys], (_, t) => `s ${row} ${t}`);
      parts.write(value(index.atPart, { row, part }), `${row} ${part}`);
      for (let t = part; t < keys; t += tiling.parts)
        weights.write(value(index.atWeights, { row }) + t, `w ${row} ${t}`);
    }
  }
  expect([weights.size, parts.size]).toEqual([rows * keys, rows * tiling.parts]);
  for (const { r, row, names } of matricesOf(tiling)) {
    for (const k of range(keys, shape.depth)) {
      const offset = value(index.weight(r, k), names);
      const at = { offset, stride: tiling.strideWeights, alignment: alignmentOf(tiling) };
      weights.expectMatrix(at, [shape.rows, shape.depth], (line, i) => `w ${row + line} ${k + i}`);
    }
  }
}

describe.each(knownMatrices)("$shape.rows×$shape.columns×$shape.depth $shape.component ($adapters)", (known) => {
  const tilings = attentionForms.flatMap((form) =>
    headDims.map((headDim) => attentionTiling(known.shape, known.subgroupSize, form, headDim)),
  );

  it("matrices of every form take each query, key, value, score and weight from its place", { timeout: 60_000 }, () => {
    for (const tiling of tilings) follow(tiling);
  });

  it("the text of the kernel has these indices and no other ones", () => {
    for (const tiling of tilings) {
      const text = attentionMatrixText("attention_matrix", tiling, true);
      const index = attentionIndices(tiling);
      const texts = Object.values(index).filter((one) => typeof one === "string");
      expect(texts.filter((one) => !text.includes(one))).toEqual([]);
      expect(text).toContain(`@workgroup_size(${tiling.invocations}) @subgroup_size(${known.subgroupSize})`);
      const { shape, keys, dims, matrices } = tiling;
      const loads = matrices * (dims / shape.depth) + (keys / shape.columns) * (dims / shape.depth);
      const weighted = (keys / shape.depth) * (matrices + dims / shape.columns);
      const shrunk = matrices * (dims / shape.columns);
      expect(text.match(/subgroupMatrixLoad/g)).toHaveLength(loads + weighted + shrunk);
    }
  });
});

it("the check finds rows that overlap and lines that are not aligned", () => {
  const [first] = knownMatrices;
  if (!first) throw new Error("no matrices are known");
  const tiling = attentionTiling(first.shape, first.subgroupSize, { subgroups: 2, matrices: 2 }, 64);
  expect(() => follow(tiling)).not.toThrow();
  for (const change of [
    { strideTile: 60 },
    { strideTile: 68 },
    { strideScores: 8 },
    { ownRows: 8 },
    { invocations: 8 },
  ])
    expect(() => follow({ ...tiling, ...change })).toThrow();
});
