import { expect, it } from "vitest";
import { choicesOf, choiceText } from "../../../cli/evaluation/label_free_choices.ts";

const early = {
  name: "early",
  blocks: [0, 1, 2],
  scores: { rankMe: [3, 9, 4], lidar: [5, 1, 5], neighbourAgreement: [0.1, 0.2, 0.3] },
  knn: [0.5, 0.6, 0.7],
};
const late = {
  name: "late",
  blocks: [0, 1, 2],
  scores: { rankMe: [1, 2, 8], lidar: [1, 2, 3], neighbourAgreement: [0.9, 0.2, 0.3] },
  knn: [0.4, 0.9, 0.65],
};

it("each score chooses a block of every encoder and an encoder by its final output; of equals the first", () => {
  const choices = choicesOf([early, late]);
  expect(choices.map(({ score, among, encoder, block }) => [score, among, encoder, block])).toEqual([
    ["RankMe", "blocks", "early", 1],
    ["RankMe", "blocks", "late", 2],
    ["RankMe", "checkpoints", "late", 2],
    ["LiDAR", "blocks", "early", 0],
    ["LiDAR", "blocks", "late", 2],
    ["LiDAR", "checkpoints", "early", 2],
    ["neighbour agreement", "blocks", "early", 2],
    ["neighbour agreement", "blocks", "late", 0],
    ["neighbour agreement", "checkpoints", "early", 2],
  ]);
  expect(choices.map(({ labelled }) => Number(labelled?.points.toFixed(6)))).toEqual([10, 25, 5, 20, 25, 0, 0, 50, 0]);
  expect(choices.map(choiceText).slice(1, 3)).toEqual([
    "RankMe chooses block 2 of late: k-NN 0.6500, 25.00 points below the best by labels (block 1, 0.9000)",
    "RankMe chooses late: k-NN 0.6500, 5.00 points below the best by labels (early, 0.7000)",
  ]);
});

it("without labels nothing stands beside a choice, and one encoder is not chosen", () => {
  const choices = choicesOf([{ ...early, knn: undefined }]);
  expect(choices).toEqual(
    [
      { score: "RankMe", place: 1 },
      { score: "LiDAR", place: 0 },
      { score: "neighbour agreement", place: 2 },
    ].map((one) => ({ ...one, among: "blocks", encoder: "early", block: one.place })),
  );
});
