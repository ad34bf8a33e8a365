import { Arena, type Device, hostNormal, hostUniform, OptionError, type Tensor } from "../../../engine/index.ts";
import {
  type EncodedTokens,
  type Pooling,
  type PoolingTable,
  poolTokens,
  type VisionTransformer,
} from "../../../models/index.ts";
import { ContrastiveHead, type HeadConfig, headCounters, headParameters, headStatistics } from "./head.ts";
import { NeighbourQueue, queueEntries } from "./queue.ts";

/** Where a head is attached: the raw output of a block (0-based), or the encoder's final output. */
export type HeadPlacement = number | "last";

export interface RefinerModelConfig {
  readonly placements: readonly HeadPlacement[];
  readonly head: HeadConfig;
  readonly pooling: Pooling;
  /** Which heads live in this process, by their place among the placements. Default: all. */
  readonly owned?: (head: number) => boolean;
}

/** Name of a head in checkpoints and metrics: `cls` for the last, `cls16` for block 16. */
export function headName(placement: HeadPlacement): string {
  return placement === "last" ? "cls" : `cls${placement}`;
}

/** An encoder with its contrastive heads, or with those of them that live in this process. */
export class RefinerModel {
  readonly heads: readonly ContrastiveHead[];
  /** Of the heads. */
  readonly names: readonly string[];
  /** Places of the heads among the placements. */
  readonly owned: readonly number[];
  /** Parameters of all heads, as `NAME.projector.0.0.weight` and so on. */
  readonly headParameters: Arena;
  readonly headStatistics: Arena;
  readonly headCounters: Arena;

  /** @throws OptionError if a head stands at a block that the encoder does not have, or twice at one */
  constructor(
    readonly encoder: VisionTransformer,
    readonly config: RefinerModelConfig,
    /** Of all placements. */
    readonly placed: readonly string[] = config.placements.map(headName),
  ) {
    const { device } = encoder;
    checkPlacements(config.placements, encoder.config.blocks);
    this.owned = placed.flatMap((_, i) => (config.owned?.(i) === false ? [] : [i]));
    const names = placed.filter((_, i) => this.owned.includes(i));
    this.names = names;
    this.headParameters = new Arena(
      device,
      "heads",
      names.flatMap((name) => headParameters(config.head, `${name}.`)),
    );
    this.headStatistics = new Arena(
      device,
      "head statistics",
      names.flatMap((name) => headStatistics(config.head, `${name}.`)),
    );
    this.headCounters = new Arena(
      device,
      "head counters",
      names.flatMap((name) => headCounters(config.head, `${name}.`)),
      "u32",
    );
    this.heads = names.map((name) => {
      const queue = new NeighbourQueue(device, config.head.queueLength, config.head.outputWidth, `${name}.queue`);
      return new ContrastiveHead(
        config.head,
        this.headParameters,
        this.headStatistics,
        this.headCounters,
        queue,
        `${name}.`,
      );
    });
  }

  get device(): Device {
    return this.encoder.device;
  }

  /** State of every head's queue. */
  get queueEntries(): ReturnType<typeof queueEntries> {
    const { queueLength, outputWidth } = this.config.head;
    return queueEntries(queueLength, outputWidth);
  }

  /** Blocks whose raw output some head needs. */
  get taps(): number[] {
    return this.config.placements.filter((placement) => placement !== "last");
  }

  /** Pooled features `[V · B, D]` per placement. */
  pool(encoded: EncodedTokens, table: PoolingTable): Tensor[] {
    return this.config.placements.map((placement) => {
      const source = placement === "last" ? encoded.rows : encoded.taps.get(placement);
      if (!source) throw new OptionError(`refiner: block ${placement} was not tapped; pass taps to forward`);
      return poolTokens(source, table);
    });
  }

  /** Start values as published: Xavier-uniform weights, BN weight 1 and bias 0, queue entries from N(0, 1). */
  initializeHeads(seed: number): void {
    const { device, headParameters: parameters, headStatistics: statistics } = this;
    for (const { name, shape } of parameters.entries) {
      const [outputs = 1, inputs = 1] = shape;
      const size = outputs * inputs;
      const bound = Math.sqrt(6 / (inputs + outputs)); // Xavier & Bengio 2010, eq. 16
      const values =
        shape.length === 2
          ? hostUniform(size, { seed, purpose: `initialize ${name}` }).map((value) => bound * (2 * value - 1))
          : new Float32Array(outputs).fill(name.endsWith(".weight") ? 1 : 0);
      device.write(parameters.get(name), values);
    }
    for (const { name, shape } of statistics.entries) {
      device.write(statistics.get(name), new Float32Array(shape[0] ?? 1).fill(name.endsWith("running_var") ? 1 : 0));
    }
    this.heads.forEach(({ queue }, i) => {
      queue.initialize(hostNormal(queue.length * queue.columns, { seed, purpose: `queue ${this.names[i]}` }));
    });
  }

  /** Frees heads and queues; the encoder stays. */
  destroy(): void {
    for (const arena of [this.headParameters, this.headStatistics, this.headCounters]) arena.destroy();
    for (const { queue } of this.heads) queue.destroy();
  }
}

function checkPlacements(placements: readonly HeadPlacement[], blocks: number): void {
  if (placements.length === 0) throw new OptionError("refiner: no heads; attach at least one, such as last");
  if (placements.length > blocks)
    throw new OptionError(`refiner: ${placements.length} heads for ${blocks} blocks; use at most one per block`);
  if (new Set(placements).size !== placements.length)
    throw new OptionError("refiner: two heads stand at one block; name each block once");
  for (const placement of placements) {
    if (placement !== "last" && (!Number.isInteger(placement) || placement < 0 || placement >= blocks)) {
      throw new OptionError(
        `refiner: there is no block ${placement} for a head; choose from 0 … ${blocks - 1} or last`,
      );
    }
  }
}
