import { DTypeError, RankError, ShapeError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import { checkDType, type Shape, showShape, sizeOf } from "../core/shape.ts";
import { programOf, type Tensor } from "../core/tensor.ts";
import { broadcastShape } from "./broadcast.ts";
import { type Product, recordProduct, sumParts } from "./matmul_product.ts";
import { expand } from "./reduce.ts";

export interface MatmulOptions {
  /** Use the transpose of the last two axes of `a`; costs nothing. */
  readonly transposeA?: boolean;
  /** Use the transpose of the last two axes of `b`; costs nothing. */
  readonly transposeB?: boolean;
}

/**
 * Matrix product over the last two axes, with f32 sums. NaN and infinities spoil the rows and columns that they meet; 0 · ∞ is NaN.
 *
 * @param left - `[..., M, K]`, or `[..., K, M]` with `transposeA`; f32 or f16
 * @param right - `[..., K, N]`, or `[..., N, K]` with `transposeB`; the type of `left`
 * @returns `[..., M, N]`; the leading axes are those of both operands, or of the one that has any. Others broadcast as numpy's do, by a copy
 *   of the operand that repeats
 * @throws RankError, ShapeError, DTypeError
 */
export function matmul(left: Tensor, right: Tensor, options: MatmulOptions = {}): Tensor {
  const [a, b] = withEqualLeading(left, right);
  const program = programOf("matmul", a, b);
  const product = describeProduct(a, b, options.transposeA ?? false, options.transposeB ?? false);
  const { rows, columns } = product;
  const leading = product.aBatched || !product.bBatched ? a.shape.slice(0, -2) : b.shape.slice(0, -2);
  const y = program.empty([...leading, rows, columns], a.dtype);
  recordProduct(program, flattened(product), y);
  return program.record(y, [a, b], (dy, needs) => gradients(product, dy, needs));
}

/** Repeats operands whose leading axes differ, unless one has none, which costs nothing. */
function withEqualLeading(a: Tensor, b: Tensor): [Tensor, Tensor] {
  const [aLeading, bLeading] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  if (aLeading.length === 0 || bLeading.length === 0 || aLeading.join() === bLeading.join()) return [a, b];
  const leading = broadcastShape("matmul", aLeading, bLeading);
  const repeated = (x: Tensor): Tensor => {
    const shape = [...leading, ...x.shape.slice(-2)];
    return shape.join() === x.shape.join() ? x : expand(x, shape);
  };
  return [repeated(a), repeated(b)];
}

/**
 * Of the sum of dy y with respect to a and b. Each is linear in dy and in the other operand: with g in the place of the operand, the
 * same sum gives their gradients.
 */
function gradients(product: Product, dy: Tensor, [needsA, needsB]: readonly boolean[]): (Tensor | undefined)[] {
  const { a, b, transposeA, transposeB } = product;
  const program = programOf("matmul", a, b, dy);
  const dA = needsA ? gradientOfA(program, product, dy) : undefined;
  const dB = needsB ? gradientOfB(program, product, dy) : undefined;
  if (dA) {
    program.record(dA, [dy, b], (g, [needsDy, needsOther]) => [
      needsDy ? matmul(g, b, { transposeA, transposeB }) : undefined,
      ...gradients({ ...product, a: g }, dy, [false, needsOther ?? false]).slice(1),
    ]);
  }
  if (dB) {
    program.record(dB, [dy, a], (g, [needsDy, needsOther]) => [
      needsDy ? matmul(a, g, { transposeA, transposeB }) : undefined,
      ...gradients({ ...product, b: g }, dy, [needsOther ?? false, false]).slice(0, 1),
    ]);
  }
  return [dA, dB];
}

function describeProduct(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Product {
  checkDType("matmul", "a", a, ["f32", "f16"]);
  if (b.dtype !== a.dtype)
    throw new DTypeError(`matmul: a is ${a.dtype} and b ${b.dtype}, expected one type; use cast`);
  const [aRows, aColumns] = lastTwo("a", a.shape);
  const [bRows, bColumns] = lastTwo("b", b.shape);
  const [rows, depth] = transposeA ? [aColumns, aRows] : [aRows, aColumns];
  const [bDepth, columns] = transposeB ? [bColumns, bRows] : [bRows, bColumns];
  const aLeading = a.shape.slice(0, -2);
  const bLeading = b.shape.slice(0, -2);
  const sameLeading =
    aLeading.length === bLeading.length && aLeading.every((length, axis) => length === bLeading[axis]);
  if (depth !== bDepth || (aLeading.length > 0 && bLeading.length > 0 && !sameLeading)) {
    throw new ShapeError(
      `matmul: ${showShape(a.shape)}${transposeA ? " transposed" : ""} times ${showShape(b.shape)}${transposeB ? " transposed" : ""} does not fit; the inner lengths (${depth}, ${bDepth}) must agree, and leading axes be equal or stand on one side only`,
    );
  }
  const aBatched = aLeading.length > 0;
  const bBatched = bLeading.length > 0;
  const batches = sizeOf(aBatched ? aLeading : bLeading);
  return { a, b, transposeA, transposeB, rows, columns, depth, batches, aBatched, bBatched };
}

function lastTwo(name: string, shape: Shape): [number, number] {
  const [rows, columns] = shape.slice(-2);
  if (rows === undefined || columns === undefined) {
    throw new RankError(
      `matmul: ${name} has shape ${showShape(shape)}, expected at least two axes; reshape a vector to [1, K] or [K, 1]`,
    );
  }
  return [rows, columns];
}

/** Batches of rows that meet one and the same B are a single taller matrix. */
function flattened(product: Product): Product {
  const { aBatched, bBatched, transposeA, rows, batches } = product;
  return aBatched && !bBatched && !transposeA
    ? { ...product, rows: rows * batches, batches: 1, aBatched: false }
    : product;
}

/** dA = dY Bᵀ, or its transpose B dYᵀ where A was transposed. */
function gradientOfA(program: Program, forward: Product, dy: Tensor): Tensor {
  const { a, b, rows, columns, depth, batches, transposeA, transposeB, aBatched, bBatched } = forward;
  const shared = { batches, depth: columns };
  const product: Product = transposeA
    ? {
        ...shared,
        a: b,
        b: dy,
        rows: depth,
        columns: rows,
        transposeA: transposeB,
        transposeB: true,
        aBatched: bBatched,
        bBatched: true,
      }
    : {
        ...shared,
        a: dy,
        b,
        rows,
        columns: depth,
        transposeA: false,
        transposeB: !transposeB,
        aBatched: true,
        bBatched,
      };
  return reduceBatches(program, product, a, aBatched);
}

/** dB = Aᵀ dY, or its transpose dYᵀ A where B was transposed. */
function gradientOfB(program: Program, forward: Product, dy: Tensor): Tensor {
  const { a, b, rows, columns, depth, batches, transposeA, transposeB, aBatched, bBatched } = forward;
  if (aBatched && !bBatched && !transposeA) {
    // The batches lie along the depth of this product, so one product adds them up.
    const tall = { a, b: dy, rows: depth, columns, transposeA: true, transposeB: false };
    const wide = { a: dy, b: a, rows: columns, columns: depth, transposeA: true, transposeB: false };
    const single = { depth: rows * batches, batches: 1, aBatched: false, bBatched: false };
    return reduceBatches(program, { ...(transposeB ? wide : tall), ...single }, b, false);
  }
  const shared = { batches, depth: rows };
  const product: Product = transposeB
    ? {
        ...shared,
        a: dy,
        b: a,
        rows: columns,
        columns: depth,
        transposeA: true,
        transposeB: transposeA,
        aBatched: true,
        bBatched: aBatched,
      }
    : {
        ...shared,
        a,
        b: dy,
        rows: depth,
        columns,
        transposeA: !transposeA,
        transposeB: false,
        aBatched,
        bBatched: true,
      };
  return reduceBatches(program, product, b, bBatched);
}

/** The product in the shape of `like`; summed over its batches where `like` has none. */
function reduceBatches(program: Program, product: Product, like: Tensor, batched: boolean): Tensor {
  const y = program.empty(like.shape, like.dtype);
  if (batched || product.batches === 1) {
    recordProduct(program, flattened(product), y);
    return y;
  }
  const { rows, columns, batches } = product;
  const parts = program.empty([batches, rows, columns], like.dtype);
  recordProduct(program, flattened(product), parts);
  sumParts(program, { rows, columns, batches: 1, splits: batches }, parts, y, {});
  return y;
}
