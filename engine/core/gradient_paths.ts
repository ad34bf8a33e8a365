import { readBy, writtenBy } from "./command.ts";
import { NoGradientError } from "./errors.ts";
import type { Command, Program, TapeEntry, Tensor } from "./recording.ts";
import { showShape } from "./shape.ts";

/**
 * Which tensors depend on the targets of a differentiation, and which of them through a command that states no gradient. The
 * tape says what an operation's result depends on; where it says nothing, the recorded commands do. Detached tensors and state
 * are their own beginning, unless a command wrote them.
 */
export class GradientPaths {
  readonly #targets: ReadonlySet<Tensor>;
  readonly #entries = new Map<Tensor, TapeEntry[]>();
  /** By tensor, whether it depends on a target; as of the command that is being followed. */
  readonly #leads = new Map<Tensor, boolean>();
  /** Where the tape breaks off: the command that computed the tensor from others that depend on a target. */
  readonly #breaks = new Map<Tensor, Command>();
  /** Tensors with a rule whose values were computed by the command that is being followed. */
  readonly #made = new Set<Tensor>();
  /** What was known of the inputs of each entry when its result was computed: state may have changed since. */
  readonly #inputs = new Map<TapeEntry, readonly KnownInput[]>();

  constructor(program: Program, targets: readonly Tensor[]) {
    this.#targets = new Set(targets.map((target) => target.base));
    for (const entry of program.tape) {
      const { base } = entry.y;
      this.#entries.set(base, [...(this.#entries.get(base) ?? []), entry]);
    }
    for (const command of program.commands) this.#follow(command);
  }

  /** Whether a gradient of `x` is wanted on the way to a target. */
  leadFrom(x: Tensor): boolean {
    const { base } = x;
    if (this.#targets.has(base)) return true;
    const known = this.#leads.get(base);
    if (known !== undefined) return known;
    const entries = this.#entries.get(base) ?? (base.origin ? [base.origin] : []);
    if (entries.length === 0) return false;
    const leads = entries.map((entry) => this.needsOf(entry).includes(true)).includes(true);
    this.#leads.set(base, leads);
    return leads;
  }

  /** Per input of an entry, whether its gradient is wanted. */
  needsOf(entry: TapeEntry): boolean[] {
    return this.#inputsOf(entry).map(({ leads }) => leads);
  }

  #inputsOf(entry: TapeEntry): readonly KnownInput[] {
    const known = this.#inputs.get(entry);
    if (known) return known;
    const inputs = entry.inputs.map(
      (x): KnownInput => ({ leads: x !== undefined && this.leadFrom(x), brokenBy: x && this.#breaks.get(x.base) }),
    );
    this.#inputs.set(entry, inputs);
    return inputs;
  }

  /** Commands are followed in their order, since state may be read before it is written. */
  #follow(command: Command): void {
    const read = readBy(command);
    const leads = read.some((x) => this.leadFrom(x));
    const first = read.map(({ base }) => this.#lacking(base)).find((known) => known !== undefined) ?? command;
    for (const { base } of writtenBy(command)) {
      if (this.#targets.has(base)) continue;
      const overwrites = this.#overwrites(command, base);
      if (overwrites ? leads || this.leadFrom(base) : leads && !this.#entries.has(base)) this.#break(base, first);
      else if (this.#entries.has(base)) this.leadFrom(base);
      else if (command.type === "assign") this.#forget(base);
    }
  }

  #forget(base: Tensor): void {
    this.#leads.delete(base);
    this.#breaks.delete(base);
  }

  /**
   * Where several commands follow each other without a rule, the first one is the operation that lacks it: unless it gave a result
   * with a rule, and just kept something beside that for its gradient.
   */
  #lacking(base: Tensor): Command | undefined {
    const command = this.#breaks.get(base);
    return command && writtenBy(command).some((y) => this.#entries.has(y.base)) ? undefined : command;
  }

  /** Whether a tensor that has a rule is no longer what that describes: written over, or a part that was written by itself. */
  #overwrites(command: Command, base: Tensor): boolean {
    if (this.#wholesOf(base).length > 0) return true;
    const known = this.#entries.get(base)?.at(-1);
    if (!known) return false;
    if (command.order < known.order) this.#made.add(base);
    return command.order > known.order && this.#made.has(base);
  }

  /** Notes that the values come from a command without a rule; those of the whole, too, if they are a part of another tensor. */
  #break(base: Tensor, command: Command): void {
    if (this.#targets.has(base)) return;
    this.#leads.set(base, true);
    this.#breaks.set(base, command);
    for (const whole of this.#wholesOf(base)) this.#break(whole.base, command);
  }

  /** The tensors that a view is a part of. */
  #wholesOf(base: Tensor): Tensor[] {
    const entries = this.#entries.get(base) ?? (base.origin ? [base.origin] : []);
    return entries
      .flatMap(({ inputs }) => inputs.filter((x) => x?.storage === base.storage && x.base !== base))
      .filter((x) => x !== undefined);
  }

  /** @throws NoGradientError if an output depends on a target, but was computed by a command that states no gradient */
  checkOutput(output: Tensor): void {
    const command = this.#breaks.get(output.base);
    if (command) throw noGradient(command, output);
  }

  /** To be called where a rule gave a gradient for an input. @throws NoGradientError as for an output */
  checkInput(entry: TapeEntry, input: number): void {
    const command = this.#inputsOf(entry)[input]?.brokenBy;
    const x = entry.inputs[input];
    if (command && x) throw noGradient(command, x);
  }

  /** @throws NoGradientError if outputs depend on targets, but no gradient came through to any */
  checkArrival(outputs: readonly Tensor[], gradients: readonly (Tensor | undefined)[]): void {
    if (gradients.some((gradient) => gradient !== undefined)) return;
    const output = outputs.find((x) => this.leadFrom(x));
    if (!output) return;
    throw new NoGradientError(
      `gradients: the result ${showShape(output.shape)} depends on the targets only through values that have no gradient, such as indices or masks; ${remedy}`,
    );
  }
}

interface KnownInput {
  readonly leads: boolean;
  readonly brokenBy: Command | undefined;
}

/**
 * An entry for a value that loses its command because it was read: without a rule of its own, it still depends on what the command
 * read. `undefined` if the value has a rule, or depends on nothing.
 */
export function entryWithoutRule(program: Program, y: Tensor, command: Command): TapeEntry | undefined {
  const taped = new Set(program.tape.map((entry) => entry.y.base));
  if (taped.has(y.base)) return undefined;
  const needed = new Set([y.base]);
  const inputs = new Set<Tensor>();
  for (const earlier of [...program.commands].reverse()) {
    if (!writtenBy(earlier).some(({ base }) => needed.has(base))) continue;
    for (const { base } of readBy(earlier)) {
      const isSource = taped.has(base) || base.origin !== undefined || base.storage.kind === "state";
      (isSource ? inputs : needed).add(base);
    }
  }
  if (inputs.size === 0) return undefined;
  const rule = (): never => {
    throw noGradient(command, y);
  };
  return { y: y.base, inputs: [...inputs], rule, order: command.order };
}

const remedy = "state a rule with program.record, or cut the gradient on purpose with detach";

function noGradient(command: Command, x: Tensor): NoGradientError {
  return new NoGradientError(`gradients: ${reason(command, x)}; ${remedy}`);
}

function reason(command: Command, { shape }: Tensor): string {
  if (command.type === "assign") return `${showShape(shape)} was copied into state, where no gradient passes`;
  const { kernel, options } = command;
  const operation = options.operation === undefined ? "" : ` of the operation ${options.operation}`;
  return `${showShape(shape)} was computed by the kernel ${kernel.name}${operation}, which states no gradient`;
}
