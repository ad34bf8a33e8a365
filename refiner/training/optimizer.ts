import { recordEarly } from "../../engine/core/early_recording.ts";
import {
  type AdamWOperands,
  type Arena,
  accumulate,
  adamW,
  arenaBlockElements,
  type Device,
  fillState,
  type GradientNorm,
  gradientNorm,
  type Program,
  type Tensor,
} from "../../engine/index.ts";
import { isDecayed as isDecayedByDefault } from "./schedule.ts";

/** Learning-rate scale and weight decay of one parameter. */
export interface ParameterGroup {
  readonly learningRateScale: number;
  readonly weightDecay: number;
}

/** Weight decay and learning-rate factors that a stage gives its parameters. */
export interface GroupOptions {
  readonly weightDecay: number;
  /** Factor by parameter name; 0 freezes it. Default 1. */
  readonly scaleOf?: (name: string) => number;
  /** Which parameters the weight decay is for; default: those of refining and pre-training. */
  readonly isDecayed?: (name: string, shape: readonly number[]) => boolean;
}

/** AdamW over one arena: gradients, moments and the table of parameter groups. */
export class ArenaOptimizer {
  readonly gradients: Arena;
  readonly firstMoment: Arena;
  readonly secondMoment: Arena;
  readonly #groups: Tensor;
  readonly #blockGroups: readonly Tensor[];
  /** Group of each parameter, by name. */
  readonly groups: ReadonlyMap<string, ParameterGroup>;

  constructor(
    readonly parameters: Arena,
    options: GroupOptions,
  ) {
    this.gradients = parameters.like(`${parameters.name} gradients`);
    this.firstMoment = parameters.like(`${parameters.name} first moments`);
    this.secondMoment = parameters.like(`${parameters.name} second moments`);
    const isDecayed = options.isDecayed ?? isDecayedByDefault;
    this.groups = new Map(
      parameters.entries.map(({ name, shape }): [string, ParameterGroup] => [
        name,
        {
          learningRateScale: options.scaleOf?.(name) ?? 1,
          weightDecay: isDecayed(name, shape) ? options.weightDecay : 0,
        },
      ]),
    );
    const { table, blocks } = groupTables(parameters, this.groups);
    const { device } = parameters;
    this.#groups = device.tensor(table, [table.length / 2, 2], "f32", "parameter groups");
    this.#blockGroups = blocks.map((list) => device.tensor(list, [list.length], "u32", "block groups"));
  }

  get device(): Device {
    return this.parameters.device;
  }

  /** Frees gradients and moments; the parameters stay. */
  destroy(): void {
    for (const arena of [this.gradients, this.firstMoment, this.secondMoment]) arena.destroy();
    for (const table of [this.#groups, ...this.#blockGroups]) table.destroy();
  }

  /** Names of the parameters that are trained. */
  get trained(): string[] {
    return [...this.groups].filter(([, group]) => group.learningRateScale > 0).map(([name]) => name);
  }

  /** Records "gradient arena ← gradients" for the trained parameters, in their order. */
  assign(program: Program, gradients: readonly Tensor[]): void {
    this.trained.forEach((name, i) => {
      const gradient = gradients[i];
      if (gradient) program.assign(this.gradients.get(name), gradient);
    });
  }

  /**
   * Records "gradient arena += gradients" for the trained parameters, in their order, each as soon as its gradient is known:
   * otherwise a program would hold the gradients of all parameters at once.
   */
  accumulate(program: Program, gradients: readonly Tensor[]): void {
    recordEarly(program, () => {
      this.trained.forEach((name, i) => {
        const gradient = gradients[i];
        if (gradient) accumulate(program, this.gradients.get(name), gradient);
      });
    });
  }

  /** Records "gradient arena ← 0". */
  clear(program: Program): void {
    for (const chunk of this.gradients.chunks) fillState(program, chunk, 0);
  }

  /** Records one step, with the moving average if its arena is given. */
  step(program: Program, scalars: Tensor, average?: Arena): void {
    this.parameters.chunks.forEach((parameters, i) => {
      const operands = {
        parameters,
        gradients: this.gradients.chunks[i],
        firstMoment: this.firstMoment.chunks[i],
        secondMoment: this.secondMoment.chunks[i],
        blockGroups: this.#blockGroups[i],
        groups: this.#groups,
        scalars,
        ...(average ? { average: average.chunks[i] } : {}),
      };
      if (isComplete(operands)) adamW(program, operands);
    });
  }

  /** Records the global norm of all gradients and the number of those that are not finite. */
  gradientNorm(program: Program): GradientNorm {
    return gradientNorm(program, this.gradients.chunks);
  }

  /** State that a resumed run needs, by name. */
  get state(): { readonly firstMoment: Arena; readonly secondMoment: Arena } {
    return { firstMoment: this.firstMoment, secondMoment: this.secondMoment };
  }
}

function isComplete(operands: Partial<AdamWOperands>): operands is AdamWOperands {
  return Object.values(operands).every((x) => x !== undefined);
}

function groupTables(
  arena: Arena,
  groups: ReadonlyMap<string, ParameterGroup>,
): { table: Float32Array; blocks: Uint32Array[] } {
  const rows: ParameterGroup[] = [];
  const blocks = arena.chunks.map((chunk) => new Uint32Array(chunk.size / arenaBlockElements));
  for (const [name, group] of groups) {
    const known = rows.findIndex(
      (row) => row.learningRateScale === group.learningRateScale && row.weightDecay === group.weightDecay,
    );
    const row = known >= 0 ? known : rows.push(group) - 1;
    const place = arena.placeOf(name);
    blocks[place.chunk]?.fill(row, place.firstBlock, place.firstBlock + place.blocks);
  }
  const table = Float32Array.from(
    rows.flatMap(({ learningRateScale, weightDecay }) => [learningRateScale, weightDecay]),
  );
  return { table, blocks };
}
