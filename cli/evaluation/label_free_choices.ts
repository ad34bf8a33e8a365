import type { LabelFreeScores } from "../../refiner/evaluation/index.ts";

/** What is compared, and with how many digits it is shown. */
export const measures = [
  { key: "rankMe", name: "RankMe", digits: 2 },
  { key: "lidar", name: "LiDAR", digits: 2 },
  { key: "neighbourAgreement", name: "neighbour agreement", digits: 4 },
] as const;

/** An encoder among which scores choose. */
export interface Candidate {
  readonly name: string;
  /** As they are shown. */
  readonly blocks: readonly (number | "last")[];
  readonly scores: Pick<LabelFreeScores, "rankMe" | "lidar" | "neighbourAgreement">;
  /** Accuracy 0 … 1 per block, where labels tell it. */
  readonly knn: readonly number[] | undefined;
}

/** What a score would choose without labels. */
export interface LabelFreeChoice {
  readonly score: string;
  /** Among the blocks of one encoder, or the final outputs of all encoders. */
  readonly among: "blocks" | "checkpoints";
  readonly encoder: string;
  readonly block: number | "last";
  /** Of the block among the encoder's. */
  readonly place: number;
  /** Its k-NN accuracy beside the best that could have been chosen. */
  readonly labelled?: {
    readonly accuracy: number;
    readonly bestEncoder: string;
    readonly bestBlock: number | "last";
    readonly bestAccuracy: number;
    /** How far the choice is below the best, in points (percentage points of accuracy). */
    readonly points: number;
  };
}

/** A place to choose, with its score and accuracy. */
interface Option {
  readonly encoder: string;
  readonly block: number | "last";
  readonly place: number;
  readonly value: number;
  readonly knn: number | undefined;
}

/** The best block of each encoder, and where there are several the best encoder by its final output; of equals the first. */
export function choicesOf(candidates: readonly Candidate[]): LabelFreeChoice[] {
  return measures.flatMap(({ key, name }) => {
    const options = candidates.map((one) =>
      one.blocks.map(
        (block, place): Option => ({
          encoder: one.name,
          block,
          place,
          value: one.scores[key][place] ?? Number.NaN,
          knn: one.knn?.[place],
        }),
      ),
    );
    const finals = options.flatMap((blocks) => blocks.slice(-1));
    return [
      ...options.flatMap((blocks) => choice(name, "blocks", blocks)),
      ...(finals.length > 1 ? choice(name, "checkpoints", finals) : []),
    ];
  });
}

function choice(score: string, among: LabelFreeChoice["among"], options: readonly Option[]): LabelFreeChoice[] {
  const [first] = options;
  if (!first) return [];
  const { encoder, block, place, knn } = options.reduce((a, b) => (b.value > a.value ? b : a), first);
  const best = options.reduce((a, b) => ((b.knn ?? -1) > (a.knn ?? -1) ? b : a), first);
  if (knn === undefined || best.knn === undefined) return [{ score, among, encoder, block, place }];
  const labelled = {
    accuracy: knn,
    bestEncoder: best.encoder,
    bestBlock: best.block,
    bestAccuracy: best.knn,
    points: 100 * (best.knn - knn),
  };
  return [{ score, among, encoder, block, place, labelled }];
}

/** A choice in words. */
export function choiceText({ score, among, encoder, block, labelled }: LabelFreeChoice): string {
  const name = among === "blocks" ? `block ${block} of ${encoder}` : encoder;
  const chosen = `${score} chooses ${name}`;
  if (!labelled) return chosen;
  const { accuracy, bestEncoder, bestBlock, bestAccuracy, points } = labelled;
  const best = among === "blocks" ? `block ${bestBlock}` : bestEncoder;
  return `${chosen}: k-NN ${accuracy.toFixed(4)}, ${points.toFixed(2)} points below the best by labels (${best}, ${bestAccuracy.toFixed(4)})`;
}
