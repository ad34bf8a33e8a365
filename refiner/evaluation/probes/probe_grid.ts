import { OptionError } from "../../../engine/index.ts";
import type { Pooling, VitConfig } from "../../../models/index.ts";
import type { FeatureBlock } from "../features/feature_blocks.ts";
import { defaultPooling, type FeaturePooling } from "../features/feature_pooling.ts";

/**
 * What heads read: the encoder's final output, its last block's raw output, or raw outputs side by side: of its last four blocks, or of
 * every fourth one.
 */
export type ProbeSource = "last1" | "last1 raw" | "last4" | "every4";

/** The base learning rates of the published grid (MIM-Refiner, arXiv 2402.10093, linear probes), for 256 images. */
export const publishedRates: readonly number[] = [
  1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5,
];

/** Blocks of the source "last4"; all where an encoder has fewer. */
const lastBlocks = 4;

/** One input of heads: some columns of a source. */
export interface ProbeFeature {
  /** Such as `cls+avg last4`. */
  readonly name: string;
  readonly source: ProbeSource;
  /** First column and the one behind the last. */
  readonly columns: readonly [from: number, to: number];
}

/** One classifier of the grid. */
export interface ProbeHead {
  /** Such as `cls last1, rate 0.1`. */
  readonly name: string;
  /** Place of its feature in the grid. */
  readonly feature: number;
  /** Place of its rate in the grid. */
  readonly rate: number;
}

/** Every feature with every base rate. */
export interface ProbeGrid {
  /** Base learning rates, for 256 images. */
  readonly rates: readonly number[];
  readonly features: readonly ProbeFeature[];
  /** Values per image of each source that a feature reads. */
  readonly sources: ReadonlyMap<ProbeSource, number>;
  /** All heads: the features of the first rate, then those of the next one; then in this order those that are only compared. */
  readonly heads: readonly ProbeHead[];
  /** Features whose heads may be chosen: the first ones. The others are there to be compared with. Default all. */
  readonly choosableFeatures?: number;
}

/** The heads of a grid that may be chosen, and those that are there to be compared with; scores of heads stand in this order. */
export function splitHeads({
  heads,
  rates,
  choosableFeatures: own,
}: Pick<ProbeGrid, "heads" | "rates" | "choosableFeatures">): {
  readonly choosable: readonly ProbeHead[];
  readonly compared: readonly ProbeHead[];
} {
  const count = own === undefined ? heads.length : own * rates.length;
  return { choosable: heads.slice(0, count), compared: heads.slice(count) };
}

export interface ProbeGridOptions {
  /** Base learning rates; default those of the publication. */
  readonly rates?: readonly number[];
  /** What stands beside `cls+avg`: the class token, or the mean over patches as for CrossMAE. Default the class token, where there is one. */
  readonly pooling?: Pooling | undefined;
  /** Default both. */
  readonly sources?: readonly ("last1" | "last4")[];
  /**
   * Adds heads on inputs that the grid does not have: the last block without the last norm, the last block, the other pooling. They are
   * trained beside the others and never chosen; together they read at most half as many values as those, so that they cost at most that.
   */
  readonly compared?: boolean;
}

/** Share of the work of a grid that its compared heads may add. */
const comparedShare = 0.5;

/**
 * The grid of heads for an encoder: poolings × sources × rates. An encoder without class tokens has one pooling, the mean over
 * patches.
 *
 * @throws OptionError for rates that are not above 0, none, or the class token of an encoder without one
 */
export function probeGrid(
  vit: Pick<VitConfig, "width" | "classTokens" | "blocks"> & Partial<Pick<VitConfig, "kind">>,
  options: ProbeGridOptions = {},
): ProbeGrid {
  const { rates = publishedRates, sources: wanted = ["last1", "last4"], pooling = defaultPooling(vit) } = options;
  if (rates.length === 0 || rates.some((rate) => !(rate > 0 && Number.isFinite(rate))))
    throw new OptionError(`linear probe: the base rates are ${rates.join(", ")}; give numbers above 0`);
  if (new Set(rates).size < rates.length)
    throw new OptionError(`linear probe: the base rates ${rates.join(", ")} name one twice; give each once`);
  if (pooling === "cls" && vit.classTokens === 0)
    throw new OptionError("linear probe: the encoder has no class token; pool with avg");
  const poolings: readonly ProbePooling[] = vit.classTokens === 0 ? ["avg"] : [pooling, "cls+avg"];
  const own = poolings.flatMap((how) => wanted.map((source) => featureOf(vit, source, how)));
  const more = options.compared ? comparedFeatures(vit, own, poolings) : [];
  const features = [...own, ...more];
  const sources = new Map(features.map(({ source }) => [source, sourceWidth(vit, source)]));
  const headsOf = (some: readonly ProbeFeature[], first: number): ProbeHead[] =>
    rates.flatMap((value, rate) =>
      some.map(({ name }, place) => ({ name: `${name}, rate ${value}`, feature: first + place, rate })),
    );
  const heads = [...headsOf(own, 0), ...headsOf(more, own.length)];
  return { rates, features, sources, heads, ...(more.length > 0 ? { choosableFeatures: own.length } : {}) };
}

type ProbePooling = Pooling | "cls+avg";
type Sized = Parameters<typeof probeGrid>[0];

function featureOf(vit: Sized, source: ProbeSource, how: ProbePooling): ProbeFeature {
  const width = sourceWidth(vit, source);
  return {
    name: `${how} ${source}`,
    source,
    columns: vit.classTokens === 0 ? ([0, width] as const) : columnsOf(how, width),
  };
}

/** Inputs beside those of a grid, the most telling first, as many as the work allows. */
function comparedFeatures(vit: Sized, own: readonly ProbeFeature[], poolings: readonly ProbePooling[]): ProbeFeature[] {
  const readsLast = own.some(({ source }) => source === "last1");
  const others = (["cls", "avg"] as const).filter((how) => vit.classTokens > 0 && !poolings.includes(how));
  const candidates = [
    // In post-norm form both are the same.
    ...(readsLast && vit.kind !== "postnorm" ? poolings.map((how) => featureOf(vit, "last1 raw", how)) : []),
    ...(readsLast ? [] : poolings.map((how) => featureOf(vit, "last1", how))),
    ...others.map((how) => featureOf(vit, "last1", how)),
  ];
  const valuesOf = ({ columns: [from, to] }: ProbeFeature): number => to - from;
  let room = comparedShare * own.reduce((sum, feature) => sum + valuesOf(feature), 0);
  return candidates.filter((feature) => {
    if (valuesOf(feature) > room) return false;
    room -= valuesOf(feature);
    return true;
  });
}

/** A source holds class tokens, block after block, then means over patches. */
function columnsOf(pooling: ProbePooling, width: number): readonly [number, number] {
  if (pooling === "cls") return [0, width / 2];
  return pooling === "avg" ? [width / 2, width] : [0, width];
}

function sourceWidth(
  { width, classTokens, blocks }: Pick<VitConfig, "width" | "classTokens" | "blocks">,
  source: ProbeSource,
) {
  const poolings = classTokens === 0 ? 1 : 2;
  return poolings * width * (source === "last4" ? Math.min(lastBlocks, blocks) : 1);
}

/** What the extractor has to give: the raw last blocks, lowest first, then the final output. */
export function probeBlocks({ blocks }: Pick<VitConfig, "blocks">): readonly FeatureBlock[] {
  const raw = Math.min(lastBlocks, blocks);
  return [...Array.from({ length: raw }, (_, i) => blocks - raw + i), "last"];
}

/** The pooling of the extractor. */
export function probePooling({ classTokens }: Pick<VitConfig, "classTokens">): FeaturePooling {
  return classTokens === 0 ? "avg" : "cls+avg";
}
