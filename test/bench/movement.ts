/**
 * Times copy-like and optimiser kernels, interleaved, against the best of several vec4 copies; prints medians and shares.
 *
 *   npm run bench -- movement [repetitions]
 */
import process from "node:process";
import { d, tgpu } from "typegpu";
import { defineKernel, openDevice, type Program, recordProgram, type Tensor } from "../../engine/index.ts";
import { assembleTokens } from "../../engine/ops/assemble_tokens.ts";
import { cast } from "../../engine/ops/cast.ts";
import { concat } from "../../engine/ops/concat.ts";
import { patchify } from "../../engine/ops/patchify.ts";
import { permute, transpose } from "../../engine/ops/permute.ts";
import { slice } from "../../engine/ops/slice.ts";
import { adamW } from "../../engine/optimizers/adamw.ts";
import { gradientNorm } from "../../engine/optimizers/gradient_norm.ts";
import { movingAverage } from "../../engine/optimizers/moving_average.ts";
import { stepScalars } from "../../engine/optimizers/step_scalars.ts";
import source from "./copy_probe.wgsl" with { type: "text" };

interface Work {
  readonly name: string;
  /** Bytes that must move. */
  readonly bytes: number;
  readonly record: (program: Program) => Tensor | undefined;
}

const Params = d.struct({ count: d.u32 }).$name("Params");
const probeKernel = defineKernel({
  name: "copy_probe",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    x: { storage: d.arrayOf(d.vec4u) },
    y: { storage: d.arrayOf(d.vec4u), access: "mutable" },
  }),
});

const device = await openDevice();
const size = 2 ** 22; // 16 MiB per tensor, beyond most caches
const arena = () => device.zeros([size]);
const step = { parameters: arena(), gradients: arena(), firstMoment: arena(), secondMoment: arena() };
const average = arena();
const tables = {
  blockGroups: device.zeros([size / 64], "u32"),
  groups: device.tensor([1, 0.05], [1, 2]),
  scalars: device.tensor(stepScalars({ learningRate: 1e-3, step: 1, beta1: 0.9, averageFactor: 0.9999 })),
};
const tokens = {
  patches: device.zeros([80, 196, 256]),
  positions: device.zeros([196, 256]),
  cls: device.zeros([1, 256]),
};
const half = device.zeros([2048, 1024]);

const probes = [16, 64, 256, 1024].map((workgroups) => ({
  name: `probe: copy by ${workgroups} workgroups`,
  bytes: 8 * size,
  record: (program: Program) => {
    program.dispatch(probeKernel, { count: size / 4 }, { x: step.parameters, y: average }, [workgroups]);
    return undefined;
  },
}));

/** An operation that reads and writes as many bytes as its result has. */
function moves(name: string, shape: readonly number[], record: (x: Tensor) => Tensor): Work {
  const x = device.zeros(shape);
  return { name, bytes: 2 * record(x).sizeBytes, record: () => record(x) };
}

const works: readonly Work[] = [
  ...probes,
  moves("permute heads [16,1024,4,64]", [16, 1024, 4, 64], (x) => permute(x, [0, 2, 1, 3])),
  moves("transpose [2048,2048]", [2048, 2048], (x) => transpose(x)),
  moves("transpose [2047,2049]", [2047, 2049], (x) => transpose(x)),
  moves("patchify 16 [24,3,224,224]", [24, 3, 224, 224], (x) => patchify(x, { patchPixels: 16 })),
  moves("patchify 14 [24,3,224,224]", [24, 3, 224, 224], (x) => patchify(x, { patchPixels: 14 })),
  moves("patchify 16, channel fastest", [24, 3, 224, 224], (x) =>
    patchify(x, { patchPixels: 16, order: "row-column-channel" }),
  ),
  moves("slice [80,197,256] from token 1", [80, 197, 256], (x) => slice(x, [undefined, [1, 197]])),
  moves("concat 2 x [2048,1024], axis 1", [1], () => concat([half, half], 1)),
  { name: "cast f32 to u32", bytes: 8 * size, record: () => cast(average, "u32") },
  moves("assembleTokens [80,196,256]", [1], () => assembleTokens(tokens.patches, tokens.positions, tokens.cls)),
  { name: "adamW", bytes: 28 * size, record: (p) => void adamW(p, { ...step, ...tables }) },
  { name: "adamW with average", bytes: 36 * size, record: (p) => void adamW(p, { ...step, ...tables, average }) },
  {
    name: "movingAverage",
    bytes: 12 * size,
    record: (p) => void movingAverage(p, { average, x: step.parameters, factor: 0.99 }),
  },
  { name: "gradientNorm (2 dispatches)", bytes: 4 * size, record: (p) => gradientNorm(p, [step.gradients]).norm },
];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const repetitions = Number(process.argv[2] ?? 9);
const entries = works.map(({ name, bytes, record }) => {
  const program = recordProgram(device, (p): Record<string, Tensor> => {
    const y = record(p);
    if (y) p.absorb(y.program);
    return y ? { y } : {};
  });
  return { name, bytes, program, milliseconds: [] as number[] };
});
for (const { program } of entries) await program.compile();
for (let repetition = 0; repetition <= repetitions; repetition++) {
  for (const { program, milliseconds } of entries) {
    const start = performance.now();
    await program.run();
    await device.idle();
    if (repetition > 0) milliseconds.push(performance.now() - start); // the first one warms up
  }
}
const rate = ({ bytes, milliseconds }: { bytes: number; milliseconds: readonly number[] }) =>
  bytes / median(milliseconds) / 1e6;
const peak = Math.max(...entries.slice(0, probes.length).map(rate));
console.log(`${device.info.name}; medians of ${repetitions} interleaved repetitions; peak ${peak.toFixed(2)} GB/s`);
for (const entry of entries) {
  const columns = [
    median(entry.milliseconds).toFixed(2),
    rate(entry).toFixed(2),
    ((100 * rate(entry)) / peak).toFixed(0),
  ];
  const [time, speed, share] = columns.map((column) => column.padStart(7));
  console.log(`${entry.name.padEnd(34)} ${time} ms ${speed} GB/s ${share} %`);
}
device.close();
process.exit(0); // Dawn keeps the process alive
