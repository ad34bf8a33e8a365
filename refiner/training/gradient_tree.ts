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
import type { ArenaOptimizer } from "./optimizer.ts";

/** What is done with partial sums behind a part: a slot holds one, and `leaf` the gradients of the part. */
export interface TreeStep {
  readonly kind: "copy" | "add";
  readonly from: number | "leaf";
  readonly to: number;
}

/**
 * The fixed binary tree in which gradients of parts are summed: one part is its own sum; of more, the left subtree holds as many as the
 * largest power of two below their number, and the right one the rest. So every range of parts from a multiple of 2^k, of 2^k parts,
 * is a subtree of its own: N processes that hold contiguous ranges of parts can each sum theirs, a single subtree where parts / N is a
 * power of two and else at most two per level, and together get the bits of one.
 *
 * Parts come in their order; behind each, sums of equally many parts are added, as a binary counter carries. At most
 * ceil(log2(parts)) sums wait at once, beside the gradients of the part.
 *
 * @returns the steps behind each part; in the end slot 0 holds the sum of all
 */
export function treeSteps(parts: number): readonly (readonly TreeStep[])[] {
  const waiting: number[] = []; // parts in each slot
  return Array.from({ length: parts }, (_, part): TreeStep[] => {
    const isLast = part === parts - 1;
    const steps: TreeStep[] = [];
    if (waiting.at(-1) === 1) {
      steps.push({ kind: "add", from: "leaf", to: waiting.length - 1 });
      waiting[waiting.length - 1] = 2;
    } else if (isLast && waiting.length > 0) {
      steps.push({ kind: "add", from: "leaf", to: waiting.length - 1 }); // nothing is to come that it would wait for
    } else {
      steps.push({ kind: "copy", from: "leaf", to: waiting.length });
      waiting.push(1);
    }
    while (waiting.length > 1 && (isLast || waiting.at(-1) === waiting.at(-2))) {
      const sum = waiting.pop() ?? 0;
      const top = waiting.length - 1;
      waiting[top] = (waiting[top] ?? 0) + sum;
      steps.push({ kind: "add", from: top + 1, to: top });
    }
    return steps;
  });
}

/** Slots that the sums of so many parts wait in. */
export function treeSlots(parts: number): number {
  return 1 + Math.max(0, ...treeSteps(parts).flatMap((steps) => steps.map(({ to }) => to)));
}

/** Gradients of an update as the sum over fixed parts of its batch (see {@link treeSteps}); it ends in the optimisers' gradients. */
export class GradientTree {
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
  ) {
    this.#steps = treeSteps(parts);
    const slots = treeSlots(parts);
    this.#slots = optimizers.map(({ gradients }) =>
      Array.from({ length: slots }, (_, i) => (i === 0 ? gradients : gradients.like(`${gradients.name}, sum ${i}`))),
    );
    this.#leaves = optimizers.map(({ gradients }) =>
      parts === 1 ? gradients : gradients.like(`${gradients.name} of a part`),
    );
  }

  /** Bytes beside the optimisers' own gradients. */
  get sizeBytes(): number {
    return this.#own.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  get #own(): Arena[] {
    return this.parts === 1 ? [] : [...this.#slots.flatMap((slots) => slots.slice(1)), ...this.#leaves];
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

  /** Records what follows {@link assign} for a part, from 0. */
  record(program: Program, part: number): void {
    if (this.parts === 1) return;
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

  /** Records the programs of {@link add}, for plans. */
  recordAll(): void {
    for (let part = 0; part < this.parts; part++) this.#programOf(part);
  }

  #programOf(part: number): RecordedProgram<Record<string, Tensor>> | undefined {
    const [optimizer] = this.optimizers;
    if (this.parts === 1 || !optimizer) return undefined;
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
