/**
 * Times elementwise, row and column kernels, interleaved, against the best of several vec4 copies; prints medians, and
 * rates and shares of the fastest repetition: the one that other programs on the machine disturbed least.
 *
 *   npm run bench -- elementwise [repetitions]
 */
import process from "node:process";
import { d, tgpu } from "typegpu";
import { defineKernel, openDevice, type Program, recordProgram, type Tensor } from "../../engine/index.ts";
import { batchNorm, batchNormStatistics } from "../../engine/ops/batch_norm.ts";
import { add, mul } from "../../engine/ops/binary.ts";
import { crossEntropyPerRow } from "../../engine/ops/cross_entropy.ts";
import { gelu, geluGrad } from "../../engine/ops/gelu.ts";
import { l2Normalize } from "../../engine/ops/l2_normalize.ts";
import { layerNorm, layerNormForward } from "../../engine/ops/layer_norm.ts";
import { layerNormGrad } from "../../engine/ops/layer_norm_grad.ts";
import { sum } from "../../engine/ops/reduce.ts";
import { softmax } from "../../engine/ops/softmax.ts";
import { exp } from "../../engine/ops/unary.ts";
import source from "./copy_probe.wgsl" with { type: "text" };

interface Work {
  readonly name: string;
  /** Bytes that must move: each operand read once, each result written once. */
  readonly bytes: number;
  readonly record: (program: Program) => readonly Tensor[];
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
const values = (shape: readonly number[]) =>
  device.tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)),
    shape,
  );
const hidden = values([1576, 768]);
const hidden2 = values([1576, 768]);
const row = values([768]);
const tokens = values([1576, 192]);
const tokens2 = values([1576, 192]);
const weight = values([192]);
const scores = values([4728, 197]);
const logits = values([512, 1000]);
const targets = device.tensor(new Uint32Array(512), [512], "u32");
const embeddings = values([4096, 256]);
const head = values([512, 2048]);
const statistics = batchNormStatistics(device, 2048);
const probed = [values([2 ** 20]), values([2 ** 20])] as const;

const probes = [16, 64, 256, 1024].map(
  (workgroups): Work => ({
    name: `probe: copy by ${workgroups} workgroups`,
    bytes: 8 * 2 ** 20,
    record: (program) => {
      program.dispatch(probeKernel, { count: 2 ** 18 }, { x: probed[0], y: probed[1] }, [workgroups]);
      return [];
    },
  }),
);

const works: readonly Work[] = [
  ...probes,
  { name: "mul [1576,768]", bytes: 3 * hidden.sizeBytes, record: () => [mul(hidden, hidden2)] },
  { name: "add row [1576,768] + [768]", bytes: 2 * hidden.sizeBytes, record: () => [add(hidden, row)] },
  { name: "scale [1576,768]", bytes: 2 * hidden.sizeBytes, record: () => [mul(hidden, 0.5)] },
  { name: "exp [1576,768]", bytes: 2 * hidden.sizeBytes, record: () => [exp(hidden)] },
  { name: "gelu [1576,768]", bytes: 2 * hidden.sizeBytes, record: () => [gelu(hidden)] },
  { name: "gelu gradient", bytes: 3 * hidden.sizeBytes, record: () => [geluGrad(hidden, hidden2)] },
  { name: "softmax [4728,197]", bytes: 2 * scores.sizeBytes, record: () => [softmax(scores)] },
  {
    name: "layer norm [1576,192]",
    bytes: 2 * tokens.sizeBytes,
    record: () => [layerNorm(tokens, { weight, bias: weight })],
  },
  {
    name: "layer norm forward + gradient",
    bytes: 5 * tokens.sizeBytes,
    record: () => {
      const { dx, dWeight } = layerNormGrad(tokens, layerNormForward(tokens, { weight, bias: weight }), tokens2);
      return [dx, dWeight];
    },
  },
  { name: "cross-entropy [512,1000]", bytes: logits.sizeBytes, record: () => [crossEntropyPerRow(logits, targets)] },
  { name: "l2Normalize [4096,256]", bytes: 2 * embeddings.sizeBytes, record: () => [l2Normalize(embeddings)] },
  { name: "sum of all [1576,768]", bytes: hidden.sizeBytes, record: () => [sum(hidden)] },
  { name: "sum of rows [1576,768], axis 0", bytes: hidden.sizeBytes, record: () => [sum(hidden, { axes: [0] })] },
  {
    name: "batch norm + gelu [512,2048]",
    bytes: 2 * head.sizeBytes,
    record: () => [batchNorm(head, { statistics, mode: "training", activation: "gelu" })],
  },
];

function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const repetitions = Number(process.argv[2] ?? 9);
const entries = works.map(({ name, bytes, record }) => {
  const program = recordProgram(device, (p) => {
    const results = record(p);
    for (const y of results) if (y.program !== p) p.absorb(y.program);
    return Object.fromEntries(results.map((y, i) => [`y${i}`, y]));
  });
  return { name, bytes, program, milliseconds: [] as number[] };
});
for (const { program } of entries) await program.compile();
for (let repetition = 0; repetition <= repetitions; repetition++) {
  for (const { program, milliseconds } of entries) {
    const start = performance.now();
    await program.run();
    await device.gpu.queue.onSubmittedWorkDone();
    if (repetition > 0) milliseconds.push(performance.now() - start); // the first one warms up
  }
}
const rate = ({ bytes, milliseconds }: { bytes: number; milliseconds: readonly number[] }) =>
  bytes / Math.min(...milliseconds) / 1e6;
const peak = Math.max(...entries.slice(0, probes.length).map(rate));
console.log(`${device.info.name}; ${repetitions} interleaved repetitions; peak ${peak.toFixed(2)} GB/s`);
console.log(`${"".padEnd(34)} median ms    best ms      GB/s   share %`);
for (const entry of entries) {
  const { name, milliseconds } = entry;
  const numbers = [median(milliseconds), Math.min(...milliseconds), rate(entry), (100 * rate(entry)) / peak];
  console.log([name.padEnd(34), ...numbers.map((number) => number.toFixed(2).padStart(9))].join(" "));
}
device.close();
process.exit(0); // Dawn keeps the process alive
