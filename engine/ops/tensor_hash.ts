import { d, tgpu } from "typegpu";
import blockSource from "../../shaders/block_hash.wgsl" with { type: "text" };
import tensorSource from "../../shaders/tensor_hash.wgsl" with { type: "text" };
import { type Arena, arenaBlockElements } from "../core/arena.ts";
import { ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import type { Program } from "../core/program.ts";
import type { Tensor } from "../core/tensor.ts";
import { full } from "./fill.ts";
import { gridOf } from "./grid.ts";

const sums = { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" } as const;
const BlockParams = d.struct({ blocks: d.u32 }).$name("Params");
export const blockHashKernel = defineKernel({
  name: "block_hash",
  source: blockSource,
  params: BlockParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: BlockParams },
    x: { storage: d.arrayOf(d.vec4u) },
    tensorOf: { storage: d.arrayOf(d.u32) },
    firstBlocks: { storage: d.arrayOf(d.u32) },
    sums,
  }),
});
const TensorParams = d.struct({ count: d.u32, tensor: d.u32 }).$name("Params");
export const tensorHashKernel = defineKernel({
  name: "tensor_hash",
  source: tensorSource,
  params: TensorParams,
  layout: tgpu.bindGroupLayout({ params: { uniform: TensorParams }, x: { storage: d.arrayOf(d.u32) }, sums }),
});

/**
 * Hashes of all tensors of arenas, and of single ones: 64 bits each, of the words in memory and their places in the tensor. One
 * changed word always changes the hash of its tensor; more of them leave it as it is by a chance of 2^-64. It finds flipped bits
 * and no forgery. It depends on values only: neither on the layout of arenas nor on adapter, order of work or zeros behind the end.
 *
 * @param arenas - f32, u32 or i32: elements of one word
 * @returns u32 `[tensors, 2]`: those of the arenas in the order of their entries, then the single ones
 * @throws ShapeError for an empty list, or an arena of other elements
 */
export function tensorHashes(program: Program, arenas: readonly Arena[], single: readonly Tensor[]): Tensor {
  const count = arenas.reduce((total, { entries }) => total + entries.length, single.length);
  if (count === 0) throw new ShapeError("tensorHashes: there is nothing to hash; give at least one tensor");
  const hashes = full(program, [count, 2], 0, "u32");
  let tensor = 0;
  for (const arena of arenas) {
    hashArena(program, arena, hashes, tensor);
    tensor += arena.entries.length;
  }
  for (const x of single) {
    const words = Math.ceil(x.sizeBytes / 4);
    program.dispatch(
      tensorHashKernel,
      { count: words, tensor: tensor++ },
      { x, sums: hashes },
      gridOf(program.device, words),
    );
  }
  return hashes;
}

function hashArena(program: Program, arena: Arena, hashes: Tensor, first: number): void {
  if (arena.dtype !== "f32" && arena.dtype !== "u32" && arena.dtype !== "i32")
    throw new ShapeError(`tensorHashes: ${arena.name} holds ${arena.dtype}; give arenas of elements of four bytes`);
  const { device } = program;
  const firstBlocks = new Uint32Array(first + arena.entries.length);
  const tensorOf = arena.chunks.map(({ size }) => new Uint32Array(size / arenaBlockElements));
  arena.entries.forEach(({ name }, i) => {
    const { chunk, firstBlock, blocks } = arena.placeOf(name);
    firstBlocks[first + i] = firstBlock;
    tensorOf[chunk]?.fill(first + i, firstBlock, firstBlock + blocks);
  });
  const places = program.own(device.tensor(firstBlocks, [firstBlocks.length], "u32", "first blocks"));
  arena.chunks.forEach((x, i) => {
    const table = tensorOf[i];
    if (!table) return;
    const owners = program.own(device.tensor(table, [table.length], "u32", "tensors of blocks"));
    const operands = { x, tensorOf: owners, firstBlocks: places, sums: hashes };
    program.dispatch(blockHashKernel, { blocks: table.length }, operands, gridOf(device, table.length));
  });
}

/** The same hash of words on the host, as `[low, high]`: a tensor's values as they lie in memory. */
export function hostTensorHash(words: Uint32Array): readonly [number, number] {
  let [low, high] = [0, 0];
  for (let place = 0; place < words.length; place++) {
    const word = words[place] ?? 0;
    if (word === 0) continue; // adds nothing
    let key = (Math.imul(place, 0x9e3779b1) + 0x85ebca77) | 0;
    key = Math.imul(key ^ (key >>> 15), 0xc2b2ae3d);
    key ^= key >>> 13;
    const other = Math.imul(key, 0x27d4eb2f);
    low = (low + mixed(Math.imul(word, key | 1), 0x85ebca6b)) | 0;
    high = (high + mixed(Math.imul(word, (other ^ (other >>> 16)) | 1), 0xc2b2ae35)) | 0;
  }
  return [low >>> 0, high >>> 0];
}

function mixed(word: number, prime: number): number {
  const product = Math.imul(word ^ (word >>> 16), prime);
  return product ^ (product >>> 13);
}
