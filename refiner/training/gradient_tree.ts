import { recordEarly } from "../../engine/core/early_recording.ts";
import {
  type Arena,
  accumulate,
  type Program,
  type RecordedProgram,
  recordProgram,
  type Tensor,
  type Workspace,
} from "../../engine/index.ts";
import type { Exchange } from "../exchange/exchange.ts";
import { type Span, type TreeStep, treePlan, treeSlots } from "../exchange/sum_tree.ts";
import { sharedTree, sumTree } from "../exchange/tree_sum.ts";
import type { ArenaOptimizer } from "./optimizer.ts";

/**
 * Gradients of an update as the sum over fixed parts of its batch (see {@link treePlan}); it ends in the optimisers' gradients. Of
 * several processes each adds its own parts, and {@link share} the rest.
 */
export class GradientTree {
  /** Behind each part of this process. */
  readonly #steps: readonly (readonly TreeStep[])[];
  /** By optimiser; the first slot is its gradients. */
  readonly #slots: readonly (readonly Arena[])[];
  readonly #leaves: readonly Arena[];
  /** By what they do. */
  readonly #programs = new Map<string, RecordedProgram<Record<string, Tensor>>>();

  constructor(
    readonly optimizers: readonly ArenaOptimizer[],
    readonly parts: number,
    readonly workspace?: Workspace,
    /** Parts of this process. Default: all. */
    range: Span = { from: 0, to: parts },
  ) {
    const plan = treePlan(parts, range);
    this.#steps = plan.steps;
    const slots = treeSlots(plan);
    this.#slots = optimizers.map(({ gradients }) =>
      Array.from({ length: slots }, (_, i) => (i === 0 ? gradients : gradients.like(`${gradients.name}, sum ${i}`))),
    );
    this.#leaves = optimizers.map(({ gradients }) =>
      this.#isSingle ? gradients : gradients.like(`${gradients.name} of a part`),
    );
  }

  /** Whether there is nothing to add here: the gradients of the one part are its sum. */
  get #isSingle(): boolean {
    return this.#steps.length === 1;
  }

  /** Bytes beside the optimisers' own gradients. */
  get sizeBytes(): number {
    return this.#own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  get #own(): Arena[] {
    return this.#isSingle ? [] : [...this.#slots.flatMap((slots) => slots.slice(1)), ...this.#leaves];
  }

  /** Programs of {@link add}, so far. */
  get programs(): readonly RecordedProgram<Record<string, Tensor>>[] {
    return [...this.#programs.values()];
  }

  /** Records "gradients of the part ← gradients" of each optimiser, in the order of its trained parameters, each as soon as it is known. */
  assign(program: Program, gradients: readonly (readonly Tensor[])[]): void {
    recordEarly(program, () => {
      this.optimizers.forEach((optimizer, i) => {
        const leaf = this.#leaves[i];
        const values = gradients[i];
        if (leaf && values) optimizer.assign(program, values, leaf);
      });
    });
  }

  /** Records what follows {@link assign} for a part of this process, from 0. */
  record(program: Program, part: number): void {
    if (this.#isSingle) return;
    for (const { kind, from, to } of this.#steps[part] ?? []) {
      this.optimizers.forEach((_, i) => {
        const target = this.#slots[i]?.[to];
        const source = from === "leaf" ? this.#leaves[i] : this.#slots[i]?.[from];
        target?.chunks.forEach((chunk, at) => {
          const values = source?.chunks[at];
          if (!values) return;
          if (kind === "copy") program.assign(chunk, values);
          else accumulate(program, chunk, values);
        });
      });
    }
  }

  /** Submits the same as a program of its own, recorded once per kind. @throws DeviceLostError */
  async add(part: number): Promise<void> {
    await this.#programOf(part)?.run();
  }

  /** Adds the sums of all processes, once each has added its parts; they share the parts evenly, in their order. @throws DeviceLostError */
  async share(exchange: Exchange): Promise<void> {
    if (exchange.size === 1) return;
    const tree = sharedTree(this.parts, exchange.size);
    for (const slots of this.#slots) await sumTree(slots, tree, exchange);
  }

  /** Records the programs of {@link add}, for plans. */
  recordAll(): void {
    for (let part = 0; part < this.#steps.length; part++) this.#programOf(part);
  }

  #programOf(part: number): RecordedProgram<Record<string, Tensor>> | undefined {
    const [optimizer] = this.optimizers;
    if (this.#isSingle || !optimizer) return undefined;
    const steps = this.#steps[part] ?? [];
    const key = steps.map(({ kind, from, to }) => `${kind} ${from} ${to}`).join(", ");
    const known = this.#programs.get(key);
    if (known) return known;
    const build = (program: Program) => {
      this.record(program, part);
      return {};
    };
    const options = { name: `sum: ${key}`, ...(this.workspace ? { workspace: this.workspace } : {}) };
    const recorded = recordProgram<Record<string, Tensor>>(optimizer.device, build, options);
    this.#programs.set(key, recorded);
    return recorded;
  }

  /** Frees programs and partial sums; the optimisers' gradients stay. */
  destroy(): void {
    for (const program of this.#programs.values()) program.destroy();
    for (const arena of this.#own) arena.destroy();
  }
}
