import { OptionError } from "../../engine/index.ts";

/** How a rank waits for the others. */
export interface Waiting {
  /** For ever, where one rank does what takes long, such as an evaluation. Default: as long as the exchange waits at most. */
  readonly isPatient?: boolean;
}

/** Where a piece of state goes. */
export interface Route {
  readonly from: number;
  readonly to: number;
}

/**
 * What the ranks of a run exchange: all that training knows of several processes. Every method is called by all ranks in one
 * order, one at a time, and nobody touches the arrays meanwhile. A rank that fails ends all.
 */
export interface Exchange {
  /** Of this process, from 0. */
  readonly rank: number;
  readonly size: number;
  /** `values ← Σ over ranks`. The order of summation may depend on the length: callers cut arrays in one way only. */
  sum(values: Float32Array<ArrayBuffer>): Promise<void>;
  /** Sends `part` to the owner. @returns there the parts of all ranks in their order, undefined elsewhere */
  gather(part: Float32Array<ArrayBuffer>, owner: number): Promise<Float32Array<ArrayBuffer> | undefined>;
  /**
   * The way back of {@link gather}.
   *
   * @param length - of a part
   * @param all - the parts of all ranks, at the owner
   */
  scatter(length: number, owner: number, all?: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>>;
  /** Sends each rank its part of `all`, equal ones in their order. @returns those that the ranks sent to this one, in their order */
  deal(all: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>>;
  /** Tells all ranks a part. @returns the parts of all ranks, as long each, in their order */
  spread(part: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>>;
  /** Tells all ranks a short text. @returns the texts of all ranks in their order */
  share(text: string, waiting?: Waiting): Promise<readonly string[]>;
  /** Overwrites `bytes` of one rank with those of another; the ranks between which nothing passes need not call it. */
  pass(bytes: Uint8Array<ArrayBuffer>, route: Route): Promise<void>;
}

/** One process alone: nothing to exchange. */
export const oneRank: Exchange = {
  rank: 0,
  size: 1,
  sum: async () => undefined,
  gather: async (part) => part,
  scatter: async (length, _owner, all) => all ?? new Float32Array(length),
  deal: async (all) => all,
  spread: async (part) => part,
  share: async (text) => [text],
  pass: async () => undefined,
};

/** The rank that a head lives on: they take turns, and with more ranks than heads those with one lie evenly among all. */
export function ownerOf(head: number, heads: number, ranks: number): number {
  return ranks < heads ? head % ranks : Math.floor((head * ranks) / heads);
}

/** Images of the batch that a rank holds: a run of `count` from `first` on. */
export function sliceOf(
  batch: number,
  { rank, size }: Pick<Exchange, "rank" | "size">,
): {
  readonly first: number;
  readonly count: number;
} {
  const count = batch / size;
  return { first: rank * count, count };
}

/** @throws OptionError with the nearest batches that fit, where ranks cannot share a batch evenly */
export function checkRanks(method: string, batch: number, ranks: number): void {
  if (batch % ranks === 0) return;
  const below = batch - (batch % ranks);
  const fitting = below > 0 ? `${below} or ${below + ranks}` : `${ranks}`;
  throw new OptionError(
    `${method}: a batch of ${batch} cannot be shared evenly by ${ranks} ranks; use a batch of ${fitting}, or another number of ranks`,
  );
}

/** What the first rank has to say, at all of them. */
export async function fromFirst(exchange: Exchange, text: string, waiting?: Waiting): Promise<string> {
  const [first = ""] = await exchange.share(exchange.rank === 0 ? text : "", waiting);
  return first;
}
