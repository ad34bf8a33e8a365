// Judges the encoders of an experiment by every protocol and prints the tables; trains first what is not trained yet, and goes on where
// it was stopped.
//
//   node experiments/judge.mjs digits|emoji|fashion_mnist [--brief] [--out FOLDER] [--seed 0] [--data FOLDER]
//     [--only linear,lowshot] [--without random,control]
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Protocols } from "./protocols.mjs";
import { Steps } from "./steps.mjs";
import { blockNames, table } from "./table.mjs";
import { trainings } from "./trainings.mjs";

const common = ["lowshot", "cluster", "linear", "choice", "finetune"];
const experiments = {
  digits: [...common, "segment"],
  fashion_mnist: [...common, "segment", "robustness"],
  emoji: common,
};
const fullSizes = {
  finetuneBatch: 64,
  scenes: { train: 2000, test: 500 },
  segmentEpochs: 20,
  scored: { images: 1000, views: 8 },
};
const briefSizes = {
  finetuneImages: 256,
  finetuneBatch: 16,
  scenes: { train: 2000, test: 500 },
  segmentEpochs: 1,
  corruptedImages: 100,
  scored: { images: 200, views: 4 },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    brief: { type: "boolean", default: false },
    out: { type: "string" },
    seed: { type: "string", default: "0" },
    data: { type: "string" },
    only: { type: "string" },
    without: { type: "string", default: "" },
  },
});
const [name = ""] = positionals;
if (!Object.hasOwn(experiments, name)) {
  console.error(`experiments: ${name || "no name"}; choose ${Object.keys(experiments).join(", ")}`);
  process.exit(2);
}
const folder = values.out ?? join("runs/experiments", values.brief ? `${name}_brief` : name);
const text = await judged();
await writeFile(join(folder, "protocols.md"), `${text}\n`);
console.log(text);

async function judged() {
  const { prepare } = await import(`./${name}.mjs`);
  const data = values.data === undefined ? {} : { data: values.data };
  const prepared = await prepare({ folder, seeds: [Number(values.seed)], isBrief: values.brief, ...data });
  const all = await trained(prepared);
  const encoders = all.filter((encoder) => !values.without.split(",").includes(encoder.name));
  const { train, test, images: seen = train, settings } = prepared;
  const sizes = values.brief ? briefSizes : fullSizes;
  const labelled = { train, test, trained: seen, flip: settings.pretrain.flip, packages: folder };
  const protocols = new Protocols(folder, encoders, labelled, sizes);
  const wanted = values.only?.split(",") ?? experiments[name];
  const rows = [];
  for (const protocol of wanted.filter((one) => one !== "choice")) rows.push(...(await protocols[protocol]()));
  const sections = rows.length > 0 ? [measuredTable("%", encoders, rows)] : [];
  if (wanted.includes("robustness"))
    sections.push(measuredTable("mean over five severities, %", encoders, await protocols.corruptions()));
  if (wanted.includes("choice")) sections.push(await choiceTable(encoders, { train, test, scored: sizes.scored }));
  return sections.join("\n\n");
}

/** The encoders of the experiment and two controls. */
async function trained({ train, test, images, seeds, settings }) {
  const { evaluate = true } = settings.refine;
  const refine = evaluate ? { test, ...settings.refine } : settings.refine;
  const made = await trainings(folder, { images: images ?? train, seeds, ...settings, refine });
  const encoders = [
    { name: "random", label: "random weights", weights: made.random },
    { name: "mae", label: `MAE, ${settings.epochs.mae} epochs: before`, weights: made.mae },
    { name: `refined_seed${seeds[0]}`, label: "after stage 3", weights: made.refined[0].weights },
    { name: "control", label: `MAE, ${made.controlEpochs} epochs: the same work`, weights: made.control },
  ];
  return encoders;
}

/** A row per measure, a column per encoder, and by how many points refining is above what it began with and above MAE alone. */
function measuredTable(unit, encoders, rows) {
  const place = (start) => encoders.findIndex((encoder) => encoder.name.startsWith(start));
  const refined = place("refined");
  const pairs = [
    { name: "after - before", other: place("mae") },
    { name: "after - the same work", other: place("control") },
  ].filter(({ other }) => other >= 0 && refined >= 0);
  return table([
    [unit, ...encoders.map(({ label }) => label), ...pairs.map((pair) => pair.name)],
    ...rows.map(({ name: row, cells, difference }) => [
      row,
      ...cells.map((cell) => shown(cell)),
      ...pairs.map(({ other }) => shown(difference(other, refined), true)),
    ]),
  ]);
}

function shown({ value, error, text }, isDifference = false) {
  if (text !== undefined) return text;
  const sign = isDifference && value > 0 ? "+" : "";
  return `${sign}${(100 * value).toFixed(1)}${error === undefined ? "" : ` ± ${(100 * error).toFixed(1)}`}`;
}

/** Blocks that scores without labels choose, with their k-NN accuracy, beside the block that labels choose. */
async function choiceTable(encoders, { train, test, scored }) {
  const steps = new Steps(join(folder, "protocols"));
  const rows = [];
  for (const { name: encoder, label, weights } of encoders) {
    const options = { weights, images: train, test, scoredImages: scored.images, views: scored.views };
    const { details } = await steps.evaluate(`choice_${encoder}`, "labelfree", options);
    const [{ knn, rankMe, lidar, neighbourAgreement }] = details.encoders;
    const best = largest(knn);
    const named = (block) => `${blockNames(knn.length)[block]}: ${(100 * knn[block]).toFixed(1)}`;
    const below = (block) => (100 * (knn[block] - knn[best])).toFixed(1).replace("-0.0", "0.0");
    const chosen = [rankMe, lidar, neighbourAgreement].map(largest);
    rows.push([label, named(best), ...chosen.map((block) => `${named(block)} (${below(block)})`)]);
  }
  return table([["k-NN, % (below the best)", "labels choose", "RankMe", "LiDAR", "neighbour agreement"], ...rows]);
}

function largest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}
