/**
 * Times the variants of attention, forward and forward with backward, interleaved with a probe of the FLOP peak. FLOPs are those
 * of the mathematics: per query, key and dimension 4 forward and 10 backward; the backward launches spend 14, since both compute
 * the scores again. The first run is mostly compilation.
 *
 *   MESA_SHADER_CACHE_DISABLE=true npm run bench -- attention [repetitions] [variant]
 */
import process from "node:process";
import { d, tgpu } from "typegpu";
import { attention, type Device, defineKernel, openDevice, recordProgram } from "../../engine/index.ts";
import { attentionVariants } from "../../engine/ops/attention_kernels.ts";
import { valuesOf } from "../../engine/testing/index.ts";
import probeSource from "./multiply_add_probe.wgsl" with { type: "text" };

interface Work {
  readonly name: string;
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
}

interface Trial {
  readonly label: string;
  readonly flops: number;
  readonly run: () => Promise<unknown>;
  readonly times: number[];
}

const works: readonly Work[] = [
  { name: "ViT-Ti/16, 224 px", batch: 4, tokens: 197, heads: 3, headDim: 64 },
  { name: "width 96, 65 tokens", batch: 32, tokens: 65, heads: 3, headDim: 32 },
  { name: "heads of ViT-H/14", batch: 1, tokens: 257, heads: 2, headDim: 80 },
];

const device = await openDevice();
const repetitions = Number(process.argv[2] ?? 9);
const variants = attentionVariants
  .filter((variant) => variant.unsupported(device, { shape: { headDim: 64 }, dtype: "f32" }) === undefined)
  .map((variant) => variant.name)
  .filter((name) => process.argv[3] === undefined || name === process.argv[3]);

for (const work of works) {
  const probe = probeTrial(device);
  const trials = [
    probe,
    ...variants.flatMap((name) => [trialOf(device, work, name, false), trialOf(device, work, name, true)]),
  ];
  for (const { run, times } of trials) times.push(await timed(run));
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const { run, times } of trials) times.push(await timed(run));
  }
  console.log(`${work.name}: batch ${work.batch}, ${work.tokens} tokens, ${work.heads} heads of ${work.headDim}`);
  const peak = probe.flops / Math.min(...probe.times.slice(1));
  for (const { label, flops, times } of trials) {
    const sorted = times.slice(1).sort((a, b) => a - b);
    const [best = 0] = sorted;
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    console.log(
      `  ${label.padEnd(27)} median ${median.toFixed(1)} ms, best ${best.toFixed(1)} ms, ${(flops / best / 1e6).toFixed(1)} GFLOP/s, ${((100 * flops) / best / peak).toFixed(0)} % of the peak, first run ${(times[0] ?? 0).toFixed(0)} ms`,
    );
  }
}
device.close();

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  await device.gpu.queue.onSubmittedWorkDone();
  return performance.now() - start;
}

function trialOf(on: Device, { batch, tokens, heads, headDim }: Work, variant: string, trains: boolean): Trial {
  const width = heads * headDim;
  on.tuning.force("attention", variant);
  const inputs = { qkv: valuesOf("normal", 1, batch * tokens * 3 * width) };
  const forward = recordProgram(
    on,
    (program) => ({ y: attention(program.input("qkv", [batch, tokens, 3 * width]), { heads }) }),
    { inference: true },
  );
  const training = recordProgram(on, (program) => {
    const qkv = program.input("qkv", [batch, tokens, 3 * width]);
    const y = attention(qkv, { heads });
    const [dqkv = qkv] = program.gradients(y, [qkv], program.input("dy", y.shape));
    return { y, dqkv };
  });
  const dy = valuesOf("normal", 2, batch * tokens * width);
  return {
    label: `${variant} ${trains ? "forward + backward" : "forward"}`,
    flops: (trains ? 14 : 4) * batch * heads * tokens * tokens * headDim,
    run: () => (trains ? training.run({ ...inputs, dy }) : forward.run(inputs)),
    times: [],
  };
}

function probeTrial(on: Device): Trial {
  const Params = d.struct({ steps: d.u32, factor: d.f32, invocations: d.u32 }).$name("Params");
  const kernel = defineKernel({
    name: "multiply_add_probe",
    source: probeSource,
    params: Params,
    layout: tgpu.bindGroupLayout({
      params: { uniform: Params },
      y: { storage: d.arrayOf(d.f32), access: "mutable" },
    }),
  });
  const [steps, workgroups] = [2000, 64];
  const invocations = 8 * workgroups;
  const step = recordProgram(on, (program) => {
    const y = program.empty([invocations]);
    program.dispatch(kernel, { steps, factor: 0.5, invocations }, { y }, [workgroups]);
    return { y };
  });
  // Eight turns of sixteen chains, each a multiplication and an addition.
  return { label: "probe", flops: 2 * 8 * 16 * steps * invocations, run: () => step.run(), times: [] };
}
