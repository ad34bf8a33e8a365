// Emoji of two artists, without labels: do features of one artist's glyphs find those of the other?
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { artists, emojiConcepts, writeList } from "./emoji_data.mjs";
import { encodedFeatures, measures, pixelFeatures } from "./emoji_measures.mjs";
import { Steps } from "./steps.mjs";
import { blockNames, spread, table } from "./table.mjs";
import { trainings } from "./trainings.mjs";

const pixels = 32;
const settings = {
  sizes: { pixels, patch: 8, channels: 3 },
  epochs: { mae: 40, stage2: 5, stage3: 25 },
  pretrain: { area: [0.5, 1], flip: 0.5 },
  refine: {
    resizeTo: pixels,
    queueLength: 1024,
    temperature: 0.15,
    topK: 5,
    saturation: 0.2,
    hue: 0.05,
    greyscale: 0.2,
    evaluate: false,
  },
};
/** Fewer epochs, and an average that follows sooner. */
const brief = {
  ...settings,
  epochs: { mae: 8, stage2: 0.5, stage3: 2 },
  refine: { ...settings.refine, stage2Warmup: 0.1, stage3Warmup: 0.25, ema: 0.95 },
};
const titles = {
  knn: "k-NN over subgroups across artists, own twin excluded.",
  knnHeldOut: "The same for concepts that no training saw.",
  retrieval: "The nearest glyph of the other artist is the twin.",
  retrievalHeldOut: "The same for concepts that no training saw.",
};

/**
 * Pictures and settings of the experiment. The classes are the subgroups; concepts that no training saw are the test images of the
 * protocols, the others their training images.
 */
export async function prepare({ folder, seeds = [0], isBrief = false }) {
  await mkdir(folder, { recursive: true });
  const concepts = await emojiConcepts(folder);
  const trained = concepts.filter(({ heldOut }) => !heldOut).flatMap((concept) => Object.values(concept.pictures));
  const labelled = (isTest) =>
    concepts
      .filter((concept) => concept.class >= 0 && concept.heldOut === isTest)
      .flatMap((concept) => Object.values(concept.pictures).map((path) => ({ path, label: concept.class })));
  return {
    concepts,
    images: await writeList(
      join(folder, "train.jsonl"),
      trained.map((path) => ({ path })),
    ),
    train: await writeList(join(folder, "labelled_train.jsonl"), labelled(false)),
    test: await writeList(join(folder, "labelled_test.jsonl"), labelled(true)),
    seeds,
    settings: isBrief ? brief : settings,
  };
}

export async function run({ folder, ...options }) {
  const { concepts, images, seeds, settings } = await prepare({ folder, ...options });
  const lists = {};
  for (const artist of artists)
    lists[artist] = await writeList(
      join(folder, `${artist}.jsonl`),
      concepts.map(({ pictures }) => ({ path: pictures[artist] })),
    );
  const made = await trainings(folder, { images, seeds, ...settings });
  const steps = new Steps(folder);
  const measured = (name, weights) =>
    steps.once(`measures_${name}`, async () => measures(await encodedFeatures(weights, lists), concepts));
  const raw = await steps.once("measures_pixels", async () => measures(await pixelFeatures(lists, pixels), concepts));
  const random = await measured("random", made.random);
  const before = await measured("mae", made.mae);
  const control = await measured("control", made.control);
  const refined = [];
  for (const [i, { weights }] of made.refined.entries())
    refined.push(await measured(`refined_seed${seeds[i]}`, weights));
  const sections = Object.entries(titles).map(([name, title]) => {
    const row = (label, results) => [
      label,
      ...before.map((_, block) => spread(results.map((result) => result[block][name]))),
    ];
    return [
      "",
      `${title} Raw pixels: ${raw[0][name].toFixed(1)}.`,
      "",
      table([
        ["%", ...blockNames(before.length)],
        row("random weights", [random]),
        row(`MAE, ${settings.epochs.mae} epochs: before`, [before]),
        row("after stage 3 (EMA)", refined),
        row(`MAE, ${made.controlEpochs} epochs: the same work`, [control]),
      ]),
    ].join("\n");
  });
  const trained = artists.length * concepts.filter(({ heldOut }) => !heldOut).length;
  return [`${concepts.length} concepts by two artists; ${trained} pictures trained on.`, ...sections].join("\n");
}
