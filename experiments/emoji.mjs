// Emoji of two artists, without labels: do features of one artist's glyphs find those of the other?
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { artists, emojiConcepts, writeList } from "./emoji_data.mjs";
import { encodedFeatures, measures, pixelFeatures } from "./emoji_measures.mjs";
import { Steps } from "./steps.mjs";
import { spread, table } from "./table.mjs";
import { trainings } from "./trainings.mjs";

const pixels = 32;

export async function run({ folder, seeds = [0] }) {
  await mkdir(folder, { recursive: true });
  const concepts = await emojiConcepts(folder);
  const lists = {};
  for (const artist of artists)
    lists[artist] = await writeList(
      join(folder, `${artist}.jsonl`),
      concepts.map(({ pictures }) => pictures[artist]),
    );
  const trained = concepts.filter(({ heldOut }) => !heldOut).flatMap(({ pictures }) => Object.values(pictures));
  const images = await writeList(join(folder, "train.jsonl"), trained);
  const shared = new Steps(folder);
  const raw = await shared.once("pixels", async () => measures(await pixelFeatures(lists, pixels), concepts));
  const results = [];
  for (const seed of seeds) {
    const steps = new Steps(join(folder, `seed${seed}`));
    const made = await trainings(steps, { images, seed, ...settings });
    const measured = {};
    for (const kind of ["random", "mae", "refined", "control"])
      measured[kind] = await steps.once(`measures_${kind}`, async () =>
        measures(await encodedFeatures(made[kind], lists), concepts),
      );
    results.push({ ...measured, controlEpochs: made.controlEpochs });
  }
  return [
    `${concepts.length} concepts, ${trained.length} pictures trained on.`,
    ...Object.entries(titles).map(([name, title]) => {
      const cells = (of) => results[0].mae.map((_, block) => spread(results.map((result) => of(result)[block][name])));
      return [
        "",
        `${title} Raw pixels: ${raw[0][name].toFixed(1)}.`,
        "",
        table([
          ["%", ...results[0].mae.map((_, block, all) => (block === all.length - 1 ? "last" : `block ${block}`))],
          ["random weights", ...cells(({ random }) => random)],
          [`MAE, ${settings.epochs.mae} epochs: before`, ...cells(({ mae }) => mae)],
          ["after stage 3 (EMA): refined", ...cells(({ refined }) => refined)],
          [`MAE, ${results[0].controlEpochs} epochs: the same work`, ...cells(({ control }) => control)],
        ]),
      ].join("\n");
    }),
  ].join("\n");
}

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
  },
};

const titles = {
  knn: "k-NN over subgroups across artists, own twin excluded.",
  knnHeldOut: "The same for concepts that no training saw.",
  retrieval: "Nearest glyph of the other artist is the twin.",
  retrievalHeldOut: "The same for concepts that no training saw.",
};
