// The rooms of `refiner`, which `rooms.mjs` sets between those of the models and those of the command line; see there.

const data = ["refiner/data", "refiner/data/sources", "refiner/data/batches", "refiner/data/views"];
export const publicBelow = [
  "engine/index",
  "engine/files/index",
  "engine/platform",
  "models/index",
  "models/checkpoints",
];
const features = "refiner/evaluation";
const measuring = ["engine/index", `${features}/core`, `${features}/statistics`, `${features}/neighbours`];

/** @type {{ room: string, at?: string[], holds: string, imports: string[] }[]} */
export const refinerRooms = [
  { room: "refiner/data", holds: "what an image source is; errors of data", imports: ["engine/index"] },
  {
    room: "refiner/data/sources",
    holds: "folders, lists, archives, arrays",
    imports: ["engine/index", "refiner/data"],
  },
  {
    room: "refiner/data/decoding",
    holds: "files to pixels, in worker threads",
    imports: ["engine/files/zip", "refiner/data", "refiner/data/sources"],
  },
  {
    room: "refiner/data/batches",
    holds: "order, batches, reading ahead",
    imports: ["engine/core", "engine/index", "refiner/data", "refiner/data/sources", "refiner/data/decoding"],
  },
  {
    room: "refiner/data/views",
    holds: "augmentation, drawn on the host and rendered on the device",
    imports: ["shaders", "engine/core", "engine/index", "refiner/data", "refiner/data/batches"],
  },
  {
    room: "refiner/data/masks",
    holds: "a class per pixel: reading, pairing with images, training crops",
    imports: ["engine/platform", "refiner/data", "refiner/data/sources"],
  },
  {
    room: "refiner/data/corruptions",
    holds: "images made worse as ImageNet-C was",
    imports: ["engine/core", "refiner/data"],
  },
  {
    room: "refiner/data/augmentation",
    holds: "what training for classes does to batches: mixed images and targets",
    imports: ["shaders", "engine/core", "engine/index", "refiner/data", "refiner/data/batches"],
  },
  {
    room: "refiner/data/index",
    at: ["refiner/data/index.ts", "refiner/data/index_node.ts", "refiner/data/sources/open_images_node.ts"],
    holds: "the doors, and the choice of a source by path",
    imports: ["engine/index", "refiner/data/*"],
  },
  {
    room: "refiner/exchange",
    holds: "what the ranks of a run exchange, and how they share a batch; knows no MPI",
    imports: ["engine/core", "engine/index"],
  },
  {
    room: "refiner/training",
    holds: "loop, optimiser, schedule, loss scaling, checkpoints, run folder; knows no method",
    imports: ["engine/core", ...publicBelow, ...data, "refiner/data/index", "refiner/exchange"],
  },
  {
    room: "refiner/verification",
    holds: "hashes of what updates leave, updates computed twice, runs that are computed again",
    imports: [...publicBelow, "refiner/data/index", "refiner/exchange", "refiner/training"],
  },
  {
    room: "refiner/evaluation/core",
    holds: "what all evaluations share: a matrix of features, labelled images, errors",
    imports: ["engine/index", "refiner/data", "refiner/data/sources"],
  },
  {
    room: "refiner/evaluation/statistics",
    holds: "numbers of features on the host",
    imports: ["engine/index", "refiner/data/batches", "refiner/evaluation/core"],
  },
  {
    room: "refiner/evaluation/features",
    holds: "the one extractor",
    imports: [...publicBelow, ...data, "refiner/data/index", "refiner/evaluation/core"],
  },
  {
    room: "refiner/evaluation/neighbours",
    holds: "k-NN and its bank",
    imports: [
      ...publicBelow,
      ...data,
      "refiner/data/decoding",
      "refiner/data/index",
      "refiner/evaluation/core",
      "refiner/evaluation/statistics",
      "refiner/evaluation/features",
    ],
  },
  {
    room: "refiner/evaluation/probes",
    holds: "linear probes: a grid of heads in one pass",
    imports: [
      "engine/core",
      "engine/ops",
      ...publicBelow,
      ...data,
      "refiner/data/index",
      "refiner/training",
      "refiner/evaluation/core",
      "refiner/evaluation/statistics",
      "refiner/evaluation/features",
    ],
  },
  { room: "refiner/evaluation/resident", holds: "features that stay on the device", imports: measuring },
  {
    room: "refiner/evaluation/lowshot",
    holds: "few-shot subsets, logistic regression on the device",
    imports: [...measuring, "refiner/data", "refiner/data/sources", "refiner/evaluation/resident"],
  },
  {
    room: "refiner/evaluation/clustering",
    holds: "k-means and silhouette on the device",
    imports: [...measuring, "shaders", "engine/ops", "refiner/data/batches", "refiner/evaluation/resident"],
  },
  { room: "refiner/evaluation/robustness", holds: "class subsets and corruptions", imports: measuring },
  {
    room: "refiner/evaluation/label_free",
    holds: "scores that need no labels",
    imports: [...measuring, ...publicBelow, ...data, "refiner/data/index", "refiner/evaluation/features"],
  },
  {
    room: "refiner/evaluation/maps",
    holds: "where the class token looks, and patch features as colours",
    imports: [
      ...publicBelow,
      "refiner/data",
      "refiner/evaluation/core",
      "refiner/evaluation/statistics",
      "refiner/evaluation/features",
    ],
  },
  {
    room: "refiner/evaluation/classification",
    holds: "classes of images by a trained classifier",
    imports: [...publicBelow, ...data, "refiner/data/index", "refiner/evaluation/core", "refiner/evaluation/features"],
  },
  {
    room: "refiner/evaluation/sensitivity",
    holds: "how much a number depends on settings that evaluations differ in",
    imports: [
      ...publicBelow,
      "refiner/evaluation/core",
      "refiner/evaluation/statistics",
      "refiner/evaluation/features",
      "refiner/evaluation/neighbours",
      "refiner/evaluation/lowshot",
      "refiner/evaluation/clustering",
      "refiner/evaluation/probes",
    ],
  },
  {
    room: "refiner/evaluation/segmentation",
    holds: "linear probes on patches: a class per pixel",
    imports: [
      ...publicBelow,
      ...data,
      "refiner/data/masks",
      "refiner/data/decoding",
      "refiner/data/index",
      "refiner/training",
      "refiner/evaluation/core",
      "refiner/evaluation/features",
      "refiner/evaluation/probes",
    ],
  },
  {
    room: "refiner/evaluation",
    holds: "the door, and protocols that need a model; knows no method",
    imports: [...publicBelow, ...data, "refiner/data/index", "refiner/evaluation/*"],
  },
  {
    room: "refiner/report",
    holds: "report.html; knows no method",
    imports: ["engine/core", ...publicBelow, ...data, "refiner/data/index", "refiner/training", "refiner/evaluation"],
  },
  { room: "refiner/methods", holds: "what the settings and plans of all methods share", imports: ["engine/index"] },
  {
    room: "refiner/methods/mae",
    holds: "masked pre-training",
    imports: [
      "engine/core",
      ...publicBelow,
      ...data,
      "refiner/data/index",
      "refiner/training",
      "refiner/verification",
      "refiner/methods",
      "shaders",
    ],
  },
  {
    room: "refiner/methods/refine",
    holds: "head, queue, loss, step, stages, micro-batches",
    imports: [
      "shaders",
      "engine/core",
      "engine/ops",
      ...publicBelow,
      ...data,
      "refiner/data/index",
      "refiner/exchange",
      "refiner/training",
      "refiner/evaluation",
      "refiner/verification",
      "refiner/methods",
    ],
  },
  {
    room: "refiner/methods/finetune",
    holds: "classifier, layer-wise decay, drop path, micro-batches",
    imports: [
      "engine/core",
      ...publicBelow,
      ...data,
      "refiner/data/augmentation",
      "refiner/data/index",
      "refiner/training",
      "refiner/verification",
      "refiner/methods",
    ],
  },
  {
    room: "refiner/vtab",
    holds: "VTAB-1k: fine-tuning as a measurement",
    imports: [
      ...publicBelow,
      "engine/files/zip",
      ...data,
      "refiner/data/index",
      "refiner/data/masks",
      "refiner/training",
      "refiner/evaluation",
      "refiner/methods",
      "refiner/methods/finetune",
    ],
  },
  {
    room: "refiner/published",
    holds: "the figures of the paper's own tables, and what they were measured with",
    imports: ["models/index", "refiner/evaluation", "refiner/methods/finetune", "refiner/vtab"],
  },
  {
    room: "refiner/conformance",
    holds: "fixtures against the functions that the commands use",
    imports: ["engine/*", "models/*", "refiner/*"],
  },
];
