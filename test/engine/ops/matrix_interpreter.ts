import { type MatrixTiling, matrixIndices } from "../../../engine/ops/products/matrix_tiling.ts";
import { expression } from "./index_expression.ts";

/** The uniform values of a product kernel. */
export interface ProductParams {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly parts: number;
  readonly splits: number;
  readonly splitDepth: number;
  readonly aRow: number;
  readonly aDepth: number;
  readonly aBatch: number;
  readonly bDepth: number;
  readonly bColumn: number;
  readonly bBatch: number;
}

/** Where matrices came from, so that a test can see that a case met both. */
export interface Sources {
  staged: number;
  direct: number;
}

/** Element of an operand, or of nothing (a padded zero). */
type Element = number;
const zero: Element = -1;
const nothing: Element = -2;

/** Names of the indices by which an operand is staged. */
const stagedNames = {
  A: { count: "countA", line: "rowA", depth: "depthA", to: "toA", has: "hasA", from: "fromA" },
  B: { count: "countB", line: "columnB", depth: "depthB", to: "toB", has: "hasB", from: "fromB" },
} as const;

type Evaluation = ReturnType<typeof expression>;
type Indices = ReturnType<typeof matrixIndices>;

/**
 * Runs a kernel of subgroup matrices without arithmetic: with the index expressions that its text is made of, it follows where each
 * element of a matrix comes from, and throws unless every sum meets each depth of its row and its column once and in order, every
 * result and row sum is written once, and no access leaves its memory.
 */
export function followMatrixKernel(tiling: MatrixTiling, params: ProductParams): Sources {
  const run = new Run(tiling, params);
  for (let z = 0; z < params.parts; z++) {
    for (let y = 0; y * tiling.tile[0] < params.rows; y++) {
      for (let x = 0; x * tiling.tile[1] < params.columns; x++) run.workgroup(x, y, z);
    }
  }
  run.finish();
  return run.sources;
}

class Run {
  readonly sources: Sources = { staged: 0, direct: 0 };
  readonly #index: Indices;
  readonly #evaluations = new Map<string, Evaluation>();
  /** Values of all names at the place that is followed. One object for all places: there are millions of them. */
  readonly #names: Record<string, number>;
  readonly #written: Uint8Array;
  readonly #sumsWritten: Uint8Array;

  constructor(
    readonly tiling: MatrixTiling,
    readonly product: ProductParams,
  ) {
    this.#index = matrixIndices(tiling);
    this.#names = Object.fromEntries(Object.entries(product).map(([name, value]) => [`params.${name}`, value]));
    this.#written = new Uint8Array(product.parts * product.rows * product.columns);
    this.#sumsWritten = new Uint8Array(product.parts * product.rows);
  }

  workgroup(x: number, y: number, z: number): void {
    const { product, tiling } = this;
    Object.assign(this.#names, { "group.x": x, "group.y": y, "group.z": z });
    const [begin, end] = [this.#set("begin"), this.#set("end")];
    for (const name of ["batch", "firstRow", "firstColumn", "startA", "startB", "isInsideA", "isInsideB"] as const)
      this.#set(name);
    const batch = Math.floor(z / product.splits);
    // Depth that each sum of the workgroup's tile takes next.
    const next = new Uint32Array(tiling.tile[0] * tiling.tile[1]).fill(begin);
    for (let k = begin; k < end; k += tiling.stepDepth) {
      this.#names.k = k;
      this.#step(batch, next);
    }
    this.#results(next, z);
  }

  #step(batch: number, next: Uint32Array): void {
    const { tiling } = this;
    const isWhole = this.#set("isWhole") === 1;
    const tileA = this.#stageUnless(isWhole && this.#get("isInsideA") === 1, "A", tiling.tile[0] * tiling.strideA);
    const tileB = this.#stageUnless(isWhole && this.#get("isInsideB") === 1, "B", tiling.stepDepth * tiling.strideB);
    for (let subgroup = 0; subgroup < tiling.subgroups[0] * tiling.subgroups[1]; subgroup++) {
      this.#place(subgroup);
      for (let d = 0; d < tiling.stepDepth; d += tiling.shape.depth) {
        const lefts = range(tiling.matrices[0]).map((r) => this.#left(tileA, r, d));
        const rights = range(tiling.matrices[1]).map((c) => this.#right(tileB, c, d));
        for (const [r, left] of lefts.entries()) {
          for (const [c, right] of rights.entries()) this.#multiply(batch, [r, c], left, right, next);
        }
      }
    }
  }

  #left(tile: Int32Array | undefined, r: number, d: number): Int32Array {
    const { shape, strideA } = this.tiling;
    const size: [number, number] = [shape.rows, shape.depth];
    return tile
      ? this.#load(tile, this.#index.stagedA(r, d), strideA, size)
      : this.#loadDirect("A", this.#index.directA(r, d), size);
  }

  #right(tile: Int32Array | undefined, c: number, d: number): Int32Array {
    const { shape, strideB } = this.tiling;
    const size: [number, number] = [shape.depth, shape.columns];
    return tile
      ? this.#load(tile, this.#index.stagedB(c, d), strideB, size)
      : this.#loadDirect("B", this.#index.directB(c, d), size);
  }

  /** What all invocations together put into a tile; none where the operand is read directly. */
  #stageUnless(isDirect: boolean, operand: "A" | "B", length: number): Int32Array | undefined {
    this.sources[isDirect ? "direct" : "staged"]++;
    if (isDirect) return undefined;
    const tile = new Int32Array(length).fill(nothing);
    const count = this.#index[stagedNames[operand].count];
    for (let index = 0; index < this.tiling.invocations; index++) {
      for (let i = index; i < count; i += this.tiling.invocations) this.#stageElement(tile, operand, i);
    }
    return tile;
  }

  #stageElement(tile: Int32Array, operand: "A" | "B", i: number): void {
    const { line, depth, to, has, from } = stagedNames[operand];
    this.#names.i = i;
    this.#set(line);
    this.#set(depth);
    const at = this.#value(this.#index[to]);
    if (at >= tile.length) throw new Error(`tile ${operand}: write at ${at} of ${tile.length}`);
    if (tile[at] !== nothing) throw new Error(`tile ${operand}: element ${at} is written twice`);
    const isThere = this.#value(this.#index[has]) === 1;
    tile[at] = isThere ? this.#inBounds(operand, this.#value(this.#index[from])) : zero;
  }

  #load(tile: Int32Array, offset: string, stride: number, [lines, length]: [number, number]): Int32Array {
    const start = this.#value(offset);
    this.#checkAligned(start, stride);
    return elements(lines, length, start, stride, (at) => {
      const element = tile[at] ?? nothing;
      if (element === nothing) throw new Error(`a matrix takes element ${at} of a staged tile, which nothing wrote`);
      return element;
    });
  }

  #loadDirect(operand: "A" | "B", offset: string, [lines, length]: [number, number]): Int32Array {
    const start = this.#value(offset);
    const stride = operand === "A" ? this.product.aRow : this.product.bDepth;
    this.#checkAligned(start, stride);
    return elements(lines, length, start, stride, (at) => this.#inBounds(operand, at));
  }

  /** Vulkan wants the pointer and the stride of a matrix at multiples of 16 bytes. */
  #checkAligned(start: number, stride: number): void {
    const { alignment } = this.tiling;
    if (start % alignment !== 0 || stride % alignment !== 0) {
      throw new Error(`a matrix at ${start} with lines ${stride} apart is not aligned to ${alignment} elements`);
    }
  }

  #inBounds(operand: "A" | "B", at: number): Element {
    const { rows, columns, depth, parts, splits, aBatch, bBatch } = this.product;
    const batches = parts / splits;
    const [one, stride] = operand === "A" ? [rows * depth, aBatch] : [depth * columns, bBatch];
    const length = one + (batches - 1) * stride;
    if (at >= length) throw new Error(`operand ${operand}: read at ${at} of ${length}`);
    return at;
  }

  #multiply(batch: number, [r, c]: [number, number], left: Int32Array, right: Int32Array, next: Uint32Array): void {
    const { shape, tile } = this.tiling;
    const { product } = this;
    const [firstRow, firstColumn] = [this.#get("firstRow"), this.#get("firstColumn")];
    for (let e = 0; e < shape.rows * shape.columns; e++) {
      const [down, across] = [Math.floor(e / shape.columns), e % shape.columns];
      const rowInTile = this.#get("rowInTile") + r * shape.rows + down;
      const columnInTile = this.#get("columnInTile") + c * shape.columns + across;
      const [row, column] = [firstRow + rowInTile, firstColumn + columnInTile];
      if (row >= product.rows || column >= product.columns) continue;
      const sum = rowInTile * tile[1] + columnInTile;
      for (let d = 0; d < shape.depth; d++) {
        const [a, b] = [left[down * shape.depth + d] ?? nothing, right[d * shape.columns + across] ?? nothing];
        const k = next[sum] ?? 0;
        if (a === zero && b === zero) continue;
        this.#checkTerm(batch, [row, column, k], a, b);
        next[sum] = k + 1;
      }
    }
  }

  #checkTerm(batch: number, [row, column, k]: [number, number, number], a: Element, b: Element): void {
    const { aBatch, aRow, aDepth, bBatch, bDepth, bColumn } = this.product;
    const wantedA = batch * aBatch + row * aRow + k * aDepth;
    const wantedB = batch * bBatch + k * bDepth + column * bColumn;
    if (a === wantedA && b === wantedB) return;
    throw new Error(`y[${row}, ${column}] takes a[${a}] b[${b}] at depth ${k}, expected a[${wantedA}] b[${wantedB}]`);
  }

  /** The way of the sums out through the slices of the subgroups. */
  #results(next: Uint32Array, part: number): void {
    const { tiling, product } = this;
    const { rows, columns } = tiling.shape;
    const [firstRow, firstColumn] = [this.#get("firstRow"), this.#get("firstColumn")];
    for (let slot = 0; slot < tiling.matrices[0] * tiling.matrices[1]; slot++) {
      const [r, c] = [Math.floor(slot / tiling.matrices[1]), slot % tiling.matrices[1]];
      this.#leave(slot, (e) => {
        const [rowOut, columnOut] = [this.#set("rowOut"), this.#set("columnOut")];
        if (this.#value(this.#index.hasOut) !== 1) return;
        const row = this.#get("rowInTile") + r * rows + Math.floor(e / columns);
        const column = this.#get("columnInTile") + c * columns + (e % columns);
        if (rowOut !== firstRow + row || columnOut !== firstColumn + column) {
          throw new Error(`the sum at [${row}, ${column}] of the tile is written as y[${rowOut}, ${columnOut}]`);
        }
        if (next[row * tiling.tile[1] + column] !== this.#get("end"))
          throw new Error(`y[${rowOut}, ${columnOut}] ends early`);
        const at = this.#value(this.#index.out);
        if (at !== (part * product.rows + rowOut) * product.columns + columnOut)
          throw new Error(`y is written at ${at}`);
        write(this.#written, at, "y");
      });
    }
    if (this.#get("group.x") !== 0) return;
    for (let slot = 0; slot < tiling.matrices[0]; slot++) {
      this.#leave(slot, (e) => {
        const sumRowOut = this.#set("sumRowOut");
        if (this.#value(this.#index.hasSumOut) !== 1) return;
        const row = firstRow + this.#get("rowInTile") + slot * rows + Math.floor(e / columns);
        if (sumRowOut !== row) throw new Error(`the sum of row ${row} is written as that of ${sumRowOut}`);
        const at = this.#value(this.#index.sumOut);
        if (at !== part * product.rows + row) throw new Error(`the sum of row ${row} is written at ${at}`);
        write(this.#sumsWritten, at, "row sums");
      });
    }
  }

  /** One matrix of each subgroup: what stands where in the staged memory, and what every invocation takes from there. */
  #leave(slot: number, take: (e: number) => void): void {
    const { shape, subgroups, invocations, subgroupSize } = this.tiling;
    const area = shape.rows * shape.columns;
    const staged = new Int32Array(subgroups[0] * subgroups[1] * area).fill(nothing);
    for (let subgroup = 0; subgroup < subgroups[0] * subgroups[1]; subgroup++) {
      this.#names.subgroup = subgroup;
      staged.fill(subgroup, this.#value(this.#index.sliceStart), this.#value(this.#index.sliceStart) + area);
    }
    const taken = new Uint8Array(staged.length);
    this.#names.slot = slot;
    for (let index = 0; index < invocations; index++) {
      this.#names.index = index;
      this.#set("slice");
      for (let e = this.#set("lane"); e < area; e += subgroupSize) {
        this.#names.e = e;
        const at = this.#value(this.#index.fromStaged);
        write(taken, at, "staged results");
        this.#place(staged[at] ?? nothing);
        take(e);
      }
    }
    if (taken.includes(0)) throw new Error("a staged result is taken by nobody");
  }

  finish(): void {
    if (this.#written.includes(0)) throw new Error(`y[${this.#written.indexOf(0)}] is never written`);
    if (this.#sumsWritten.includes(0)) throw new Error(`row sum ${this.#sumsWritten.indexOf(0)} is never written`);
  }

  #place(subgroup: number): void {
    this.#names.subgroup = subgroup;
    this.#set("rowInTile");
    this.#set("columnInTile");
  }

  #get(name: string): number {
    const value = this.#names[name];
    if (value === undefined) throw new Error(`${name} has no value yet`);
    return value;
  }

  /** Gives a name the value of its index here. */
  #set(name: TextIndex): number {
    const value = this.#value(this.#index[name]);
    this.#names[name] = value;
    return value;
  }

  #value(text: string): number {
    let evaluation = this.#evaluations.get(text);
    if (!evaluation) {
      evaluation = expression(text);
      this.#evaluations.set(text, evaluation);
    }
    return evaluation(this.#names);
  }
}

/** Names of the indices that are one expression each. */
type TextIndex = { [Name in keyof Indices]: Indices[Name] extends string ? Name : never }[keyof Indices];

function elements(
  lines: number,
  length: number,
  start: number,
  stride: number,
  elementAt: (at: number) => Element,
): Int32Array {
  return Int32Array.from({ length: lines * length }, (_, e) =>
    elementAt(start + Math.floor(e / length) * stride + (e % length)),
  );
}

function write(memory: Uint8Array, at: number, what: string): void {
  if (at >= memory.length) throw new Error(`${what}: write at ${at} of ${memory.length}`);
  if (memory[at] !== 0) throw new Error(`${what}: element ${at} is met twice`);
  memory[at] = 1;
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
