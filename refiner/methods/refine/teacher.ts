import {
  Arena,
  detach,
  movingAverage,
  OptionError,
  type Program,
  recordProgram,
  type Tensor,
} from "../../../engine/index.ts";
import { VisionTransformer } from "../../../models/index.ts";
import { ContrastiveHead, headCounters, headStatistics } from "./head.ts";
import type { RefinerModel } from "./refiner_model.ts";

export interface TeacherOptions {
  /** Share of the old average that stays at each update, 0 … 1 (`target_factor` of the published code). */
  readonly factor: number;
  /** Whether the encoder is trained, so that the teacher needs an average of it; a frozen encoder teaches itself. */
  readonly trainsEncoder: boolean;
}

/**
 * EMA teacher, an ablation of the paper (arXiv 2402.10093, § 4): anchors are looked up, aligned to and stored as projections
 * of moving averages of encoder and projectors. It sees the global views only, and its batch norms normalise over those rows.
 */
export class Teacher {
  /** Average of the encoder, with the fixed positions of the model's; undefined while the encoder is frozen. */
  readonly encoder: VisionTransformer | undefined;
  /** Averages of the head parameters; only the projectors are used. */
  readonly parameters: Arena;
  readonly statistics: Arena;
  readonly counters: Arena;
  readonly #heads: readonly ContrastiveHead[];

  /** @throws OptionError for a factor outside 0 … 1 */
  constructor(
    readonly model: RefinerModel,
    readonly options: TeacherOptions,
  ) {
    const { factor, trainsEncoder } = options;
    if (!(factor >= 0 && factor <= 1))
      throw new OptionError(`teacher: factor is ${factor}, expected 0 … 1; 0.996 is usual`);
    const { device, names, encoder } = model;
    const { head } = model.config;
    this.parameters = model.headParameters.like("teacher heads");
    this.statistics = new Arena(
      device,
      "teacher statistics",
      names.flatMap((name) => headStatistics(head, `${name}.`)),
    );
    this.counters = new Arena(
      device,
      "teacher counters",
      names.flatMap((name) => headCounters(head, `${name}.`)),
      "u32",
    );
    this.encoder = trainsEncoder
      ? new VisionTransformer(device, encoder.config, encoder.parameters.like("teacher encoder"), encoder.positions)
      : undefined;
    this.#heads = model.heads.map(
      ({ queue, prefix }) => new ContrastiveHead(head, this.parameters, this.statistics, this.counters, queue, prefix),
    );
  }

  /** State of a run beside the model's, for checkpoints. */
  get arenas(): readonly Arena[] {
    return [this.parameters, this.statistics, this.counters, ...(this.encoder ? [this.encoder.parameters] : [])];
  }

  /** Frees the averages. */
  destroy(): void {
    for (const arena of this.arenas) arena.destroy();
  }

  /** Copies the model's present values: where every average starts. */
  async reset(): Promise<void> {
    const { model, encoder } = this;
    const pairs: [Arena, Arena][] = [
      [this.parameters, model.headParameters],
      [this.statistics, model.headStatistics],
      [this.counters, model.headCounters],
    ];
    if (encoder) pairs.push([encoder.parameters, model.encoder.parameters]);
    const copy = recordProgram(model.device, (program) => {
      for (const [to, from] of pairs) forChunks(to, from, (target, source) => program.assign(target, source));
      return {};
    });
    await copy.run();
    copy.destroy();
  }

  /** Projections `[V_g · B, P]` of the teacher's features `[V_g · B, D]` for one head; no gradient reaches the teacher. */
  project(features: Tensor, head: number): Tensor {
    const own = this.#heads[head];
    if (!own) throw new OptionError(`teacher: there is no head ${head}; the model has ${this.#heads.length}`);
    return own.project(detach(features), true);
  }

  /** Records "average ← factor · average + (1 - factor) · parameters" for the heads. */
  updateHeads(program: Program): void {
    this.#update(program, this.parameters, this.model.headParameters);
  }

  /** The same for the encoder. */
  updateEncoder(program: Program): void {
    if (this.encoder) this.#update(program, this.encoder.parameters, this.model.encoder.parameters);
  }

  #update(program: Program, averages: Arena, parameters: Arena): void {
    const { factor } = this.options;
    forChunks(averages, parameters, (average, x) => movingAverage(program, { average, x, factor }));
  }
}

function forChunks(to: Arena, from: Arena, visit: (target: Tensor, source: Tensor) => void): void {
  to.chunks.forEach((target, i) => {
    const source = from.chunks[i];
    if (source) visit(target, source);
  });
}
