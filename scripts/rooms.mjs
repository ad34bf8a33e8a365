// The rooms of this package: what each holds and which others its files may import. `npm run check` reads this table.
//
// The rows stand in the order of the house: a room may import itself and those rooms above it that its row names, so that
// no two rooms can need each other. `engine/*` names every room above at or below `engine`. A file belongs to the row with the longest path that
// fits; `at` lists the paths of a row whose name is no folder: the doors of the houses (their public lists), which
// import what stands behind them. From outside a house, import its door; a row that names an inner room of another house says
// what is not public there and used all the same.

import { publicBelow, refinerRooms } from "./refiner_rooms.mjs";

/** @type {{ room: string, at?: string[], holds: string, imports: string[] }[]} */
export const rooms = [
  { room: "shaders", holds: "every kernel, as WGSL that compiles as it stands", imports: [] },

  {
    room: "engine/core",
    holds: "tensor, program, recorded command, autograd, kernel, arena, shape, dtype",
    imports: [],
  },
  {
    room: "engine/wgsl",
    holds: "kernels' texts as trees; the texts of the reproducible mode",
    imports: ["shaders", "engine/core"],
  },
  { room: "engine/plan", holds: "a place in memory for every tensor; what a program costs", imports: ["engine/core"] },
  { room: "engine/ops/products", holds: "the texts of product kernels", imports: ["engine/core"] },
  {
    room: "engine/ops",
    holds: "one file per operation: value and gradient",
    imports: ["shaders", "engine/core", "engine/ops/products"],
  },
  {
    room: "engine/optimizers",
    holds: "updates of whole arenas",
    imports: ["shaders", "engine/core", "engine/ops"],
  },
  { room: "engine/files", holds: "what all formats share: bytes in and out, host tensors", imports: ["engine/core"] },
  { room: "engine/files/zip", holds: "archives", imports: ["engine/core", "engine/files"] },
  {
    room: "engine/files/pytorch",
    holds: "PyTorch's files",
    imports: ["engine/core", "engine/files", "engine/files/zip"],
  },
  { room: "engine/files/safetensors", holds: "safetensors", imports: ["engine/core", "engine/files"] },
  { room: "engine/files/npy", holds: "NumPy's arrays", imports: ["engine/core", "engine/files"] },
  {
    room: "engine/platform",
    holds: "what Node, Deno and the browser do differently; with *_node.ts files the only ones that import from Node",
    imports: ["engine/core", "engine/files"],
  },
  {
    room: "engine/files/index",
    at: ["engine/files/index.ts", "engine/files/open_weights.ts", "engine/files/named_file.ts"],
    holds: "the door: public list, and the reader that fits a file",
    imports: ["engine/core", "engine/files/*", "engine/platform"],
  },
  {
    room: "engine/interpreter",
    holds: "WebGPU on the CPU: kernels as JavaScript",
    imports: ["engine/core", "engine/wgsl"],
  },
  { room: "engine/step", holds: "mimrefine/step: runs exported programs without the engine", imports: [] },
  {
    room: "engine/run",
    holds: "device, pipelines, replay of a planned program, reading back, export",
    imports: [
      "engine/core",
      "engine/wgsl",
      "engine/plan",
      "engine/step",
      "engine/interpreter",
      "engine/ops",
      "engine/ops/products",
      "engine/platform",
    ],
  },
  {
    room: "engine/tune",
    holds: "measured choice of variants, and the choices for known adapters",
    imports: ["shaders", "engine/core", "engine/ops", "engine/platform", "engine/run"],
  },
  { room: "engine/self_check", holds: "what doctor computes", imports: ["engine/core", "engine/ops", "engine/run"] },
  { room: "engine/testing", holds: "mimrefine/testing", imports: ["engine/core", "engine/run"] },
  { room: "engine/index", at: ["engine/index.ts"], holds: "the door", imports: ["engine/*"] },

  {
    room: "models",
    holds: "layers, ViT, masked autoencoder, positions, pooling",
    imports: ["shaders", "engine/core", "engine/index"],
  },
  {
    room: "models/checkpoints",
    holds: "other programs' checkpoints to our names and back",
    imports: ["engine/index", "engine/files/index", "models"],
  },
  { room: "models/index", at: ["models/index.ts"], holds: "the door", imports: ["models/*"] },

  ...refinerRooms,
  { room: "refiner/index", at: ["refiner/index.ts"], holds: "the door", imports: ["refiner/*"] },
  {
    room: "doors",
    at: ["index.ts", "node.ts"],
    holds: "the package's own doors",
    imports: ["engine/*", "models/*", "refiner/*"],
  },

  { room: "cli/output", holds: "streams, progress, tables", imports: ["engine/core", "engine/index", "refiner/index"] },
  {
    room: "cli/program",
    holds: "options, settings, exit codes",
    imports: [
      ...publicBelow,
      "engine/core",
      "refiner/data/index",
      "refiner/exchange",
      "refiner/methods",
      "refiner/index",
      "cli/output",
    ],
  },
  {
    room: "cli/checkpoints",
    holds: "opening weights and fixtures for a command",
    imports: [...publicBelow, "refiner/data/index", "refiner/conformance", "cli/output", "cli/program"],
  },
  {
    room: "cli/runs",
    holds: "run folders: continuing, dry run, progress, report",
    imports: ["engine/*", "models/*", "refiner/*", "cli/output", "cli/program", "cli/checkpoints"],
  },
  {
    room: "cli/embedding",
    holds: "embed and its files",
    imports: ["engine/*", "models/*", "refiner/*", "cli/output", "cli/program", "cli/checkpoints"],
  },
  {
    room: "cli/evaluation/maps",
    holds: "pictures and page of attention and patch features",
    imports: ["engine/*", "models/*", "refiner/*"],
  },
  {
    room: "cli/evaluation",
    holds: "what the commands of evaluation share",
    imports: ["engine/*", "models/*", "refiner/*", "cli/output", "cli/program", "cli/checkpoints", "cli/runs"],
  },
  {
    room: "cli/evaluation/protocols",
    holds: "one file per protocol of evaluate",
    imports: [
      "engine/*",
      "models/*",
      "refiner/*",
      "cli/output",
      "cli/program",
      "cli/checkpoints",
      "cli/runs",
      "cli/evaluation",
    ],
  },
  {
    room: "cli/demo_run",
    holds: "schedule and files of the demo",
    imports: ["engine/*", "models/*", "refiner/*", "cli/output", "cli/program", "cli/runs"],
  },
  {
    room: "cli/gpu_report",
    holds: "all measurements of an adapter in one file that can be sent",
    imports: ["engine/*", "models/*", "refiner/*", "cli/output", "cli/program"],
  },
  {
    room: "cli/commands",
    holds: "one file per command",
    imports: ["engine/*", "models/*", "refiner/*", "cli/*"],
  },
  {
    room: "cli/main",
    at: ["cli/main.ts", "cli/run_cli.ts"],
    holds: "the program: its list of commands, its end",
    imports: ["engine/core", "engine/platform", "cli/*"],
  },
];
