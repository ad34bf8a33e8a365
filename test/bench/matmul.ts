/**
 * Times every matmul variant on the shapes of the acceptance list, interleaved, and prints medians.
 *
 *   npm run bench -- matmul [repetitions]
 */
import process from "node:process";
import { type Device, openDevice, type RecordedProgram, recordProgram, type Tensor } from "../../engine/index.ts";
import { linear } from "../../engine/ops/linear.ts";
import { matmul } from "../../engine/ops/matmul.ts";
import { matmulVariants, type ProductShape } from "../../engine/ops/matmul_kernels.ts";

interface Work extends ProductShape {
  readonly name: string;
  readonly record: (a: Tensor, b: Tensor) => Tensor;
  readonly aShape: readonly number[];
  readonly bShape: readonly number[];
}

function plain(rows: number, depth: number, columns: number): Work {
  const name = `${rows}x${depth}x${columns}`;
  const aShape = [rows, depth];
  return { name, rows, depth, columns, batches: 1, aShape, bShape: [depth, columns], record: (a, b) => matmul(a, b) };
}

const works: readonly Work[] = [
  plain(256, 256, 256),
  plain(512, 512, 512),
  plain(1024, 1024, 1024),
  plain(1576, 192, 576),
  plain(1576, 192, 768),
  plain(1576, 768, 192),
  {
    ...plain(197, 64, 197),
    name: "24 x 197x64x197",
    batches: 24,
    aShape: [24, 197, 64],
    bShape: [24, 64, 197],
  },
  {
    ...plain(1576, 192, 768),
    name: "linear+gelu 1576x192x768",
    bShape: [768, 192],
    record: (x, weight) => linear(x, weight, { activation: "gelu" }),
  },
  {
    ...plain(192, 1576, 768),
    name: "dW 192x1576x768",
    aShape: [1576, 192],
    record: (a, b) => matmul(a, b, { transposeA: true }),
  },
  plain(16, 4096, 64),
];

interface Entry {
  readonly work: Work;
  readonly variant: string;
  readonly program: RecordedProgram<{ y: Tensor }>;
  readonly milliseconds: number[];
}

function entriesOf(device: Device): Entry[] {
  return works.flatMap((work) => {
    const a = device.tensor(ramp(work.aShape), work.aShape);
    const b = device.tensor(ramp(work.bShape), work.bShape);
    const variants = matmulVariants.filter(
      (variant) => variant.unsupported(device, work) === undefined && (!variant.split || work.depth >= 1024),
    );
    return variants.map(({ name }) => {
      device.tuning.force("matmul", name);
      const build = (): { y: Tensor } => ({ y: work.record(a, b) });
      const recorded = recordProgram(device, (program) => {
        const { y } = build();
        program.absorb(y.program);
        return { y };
      });
      return { work, variant: name, program: recorded, milliseconds: [] };
    });
  });
}

function ramp(shape: readonly number[]): Float32Array {
  const size = shape.reduce((product, length) => product * length, 1);
  return Float32Array.from({ length: size }, (_, i) => ((i * 37) % 101) / 101 - 0.5);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

const repetitions = Number(process.argv[2] ?? 5);
const device = await openDevice();
const entries = entriesOf(device);
for (const { program } of entries) await program.compile();
for (let repetition = 0; repetition <= repetitions; repetition++) {
  for (const { program, milliseconds } of entries) {
    const start = performance.now();
    await program.run();
    await device.idle();
    if (repetition > 0) milliseconds.push(performance.now() - start); // the first one warms up
  }
}
console.log(`${device.info.name}; medians of ${repetitions} interleaved repetitions`);
for (const { work, variant, milliseconds } of entries) {
  const time = median(milliseconds);
  const gflops = (2 * work.rows * work.columns * work.depth * work.batches) / time / 1e6;
  console.log(
    `${work.name.padEnd(26)} ${variant.padEnd(18)} ${time.toFixed(1).padStart(8)} ms ${gflops.toFixed(1).padStart(7)} GFLOP/s`,
  );
}
device.close();
process.exit(0); // Dawn keeps the process alive
