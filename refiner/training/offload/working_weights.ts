import { bytesPerElement } from "../../../engine/core/dtype.ts";
import { viewRows } from "../../../engine/core/tensor.ts";
import {
  Arena,
  arenaBlockElements,
  castInto,
  OptionError,
  type Program,
  recordProgram,
  type Tensor,
  widened,
} from "../../../engine/index.ts";
import type { Weights } from "../../../models/index.ts";
import type { ChunkRange } from "./arena_spans.ts";
import { HostArena } from "./host_arena.ts";
import type { StagingRoom } from "./streamed_step.ts";

/** Where the values of a parameter go: which elements of the masters it is, and its place among the working weights. */
interface Route {
  readonly from: ChunkRange;
  readonly target: Tensor;
  /** Element of the target that the first one goes to. */
  readonly first: number;
}

/**
 * Weights of a training in f16 whose f32 masters lie on the host: matrices as the products take them, rounded to f16, and the rest in
 * f32. Products round masters on the device in the same way, so that the bits are those of a training without.
 */
export class WorkingWeights {
  readonly masters: HostArena;
  readonly #rounded: Arena;
  readonly #exact: Arena;
  readonly #routes: readonly Route[];
  /** Whether the device holds what the masters say. */
  #isCurrent = false;

  /** @param parameters - whose names and layout the masters have; what they hold is taken over by {@link takeOver} */
  constructor(readonly parameters: Arena) {
    const { device, entries, name } = parameters;
    this.masters = new HostArena(parameters, `${name} masters`);
    const isMatrix = (entry: Arena["entries"][number]): boolean =>
      entry.shape.length > 1 && entry.name.endsWith(".weight");
    this.#rounded = new Arena(device, `${name} in f16`, entries.filter(isMatrix), "f16");
    this.#exact = new Arena(
      device,
      `${name} in f32`,
      entries.filter((entry) => !isMatrix(entry)),
    );
    this.#routes = entries.map((entry) => this.#routeOf(entry.name));
  }

  #routeOf(name: string): Route {
    const { chunk, firstBlock, blocks } = this.parameters.placeOf(name);
    const from = { chunk, from: firstBlock * arenaBlockElements, to: (firstBlock + blocks) * arenaBlockElements };
    const arena = this.#rounded.has(name) ? this.#rounded : this.#exact;
    const target = arena.get(name);
    const chunkOf = arena.chunks[arena.placeOf(name).chunk] ?? target;
    return { from, target: chunkOf, first: target.byteOffset / bytesPerElement[target.dtype] };
  }

  /** On the device. */
  get sizeBytes(): number {
    return this.#rounded.sizeBytes + this.#exact.sizeBytes;
  }

  /** What a program computes with; gradients are with respect to these tensors, in f32. */
  in(program: Program): Weights {
    const tensors = new Map(
      this.parameters.entries.map(({ name }): [string, Tensor] => [
        name,
        this.#rounded.has(name) ? widened(program, this.#rounded.get(name)) : this.#exact.get(name),
      ]),
    );
    const get = (name: string): Tensor => {
      const tensor = tensors.get(name);
      if (!tensor) throw new OptionError(`${this.masters.name}: no tensor named ${name}`);
      return tensor;
    };
    return { tensors, get };
  }

  /** Records "working weights ← values", which are those of a range of the masters. */
  update(program: Program, { chunk, from, to }: ChunkRange, values: Tensor): void {
    for (const route of this.#routes) {
      const [first, end] = [Math.max(from, route.from.from), Math.min(to, route.from.to)];
      if (route.from.chunk !== chunk || first >= end) continue;
      castInto(
        program,
        viewRows(values, first - from, end - from),
        route.target,
        route.first + first - route.from.from,
      );
    }
  }

  /** Takes the values of the parameters to the host, and gives the device's memory of them free. @throws DeviceLostError */
  async takeOver(): Promise<void> {
    await this.masters.load(this.parameters);
    this.parameters.destroy();
    this.#isCurrent = false;
  }

  /** To be called before programs compute with the weights: brings them up to the masters, where those were written. */
  async bringUp(room: StagingRoom): Promise<void> {
    if (this.#isCurrent) return;
    await this.masters.settled();
    for (const [chunk, { size }] of this.parameters.chunks.entries()) {
      for (let from = 0, at = 0; from < size; from += room.pieceElements, at++)
        await this.#bringUpPiece(room, { chunk, from, to: Math.min(size, from + room.pieceElements) }, at);
    }
    this.#isCurrent = true;
  }

  async #bringUpPiece(room: StagingRoom, range: ChunkRange, at: number): Promise<void> {
    const slot = room.slot(at);
    await slot.free();
    slot.upload([this.masters.chunk(range.chunk).subarray(range.from, range.to)]);
    const [values] = slot.tensors;
    const program = recordProgram<Record<string, Tensor>>(this.parameters.device, (recorded) => {
      if (values) this.update(recorded, range, viewRows(values, 0, range.to - range.from));
      return {};
    });
    await program.run();
    program.destroy();
  }

  /** Frees the memory on the device until the weights are needed again. */
  release(): void {
    for (const arena of [this.#rounded, this.#exact]) arena.destroy();
    this.#isCurrent = false;
  }
}
