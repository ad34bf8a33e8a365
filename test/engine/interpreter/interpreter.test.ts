import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  abs,
  add,
  argmax,
  clamp,
  concat,
  type Device,
  div,
  exp,
  gather,
  greater,
  hostNormal,
  max,
  maximum,
  minimum,
  mul,
  nearest,
  randomBits,
  relu,
  sqrt,
  sum,
  type Tensor,
  transpose,
  uniform,
  where,
} from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";
import { comparable, kernelOf, randomExpression, runText } from "./random_kernels.ts";

const adapter = await testDevice();
const interpreter = await testDevice({ adapter: "interpreter" });
const x = hostNormal(64, { seed: 1, purpose: "x" });
const n = Uint32Array.from({ length: 64 }, (_, i) => (i < 8 ? i : Math.imul(i, 0x9e3779b1) >>> (i % 32)));

async function expectEqual(text: string): Promise<void> {
  const [given, wanted] = [await runText(interpreter, text, x, n), await runText(adapter, text, x, n)];
  expect(comparable(given)).toEqual(comparable(wanted));
}

const operations: [name: string, (device: Device, a: Tensor, b: Tensor) => Tensor][] = [
  ["add", (_, a, b) => add(a, b)],
  ["mul by a scalar", (_, a) => mul(a, 0.1)],
  ["div", (_, a, b) => div(a, b)],
  ["sqrt", (_, a) => sqrt(abs(a))],
  ["sum of rows", (_, a) => sum(a, { axes: [1] })],
  ["sum of columns", (_, a) => sum(a, { axes: [0] })],
  ["max", (_, a) => max(a, { axes: [0] })],
  ["argmax", (_, a) => argmax(a)],
  ["transpose", (_, a) => transpose(a)],
  ["concat", (_, a, b) => concat([a, b], 0)],
  ["where", (_, a, b) => where(greater(a, b), a, b)],
  ["gather", (device, a) => gather(a, device.tensor([3, 0, 3], [3], "u32"))],
  ["nearest", (_, a, b) => nearest(a, b, { k: 3 }).similarities],
  ["random bits", (device) => randomBits(device.program({ eager: true }), [40], { seed: 3, purpose: "bits", step: 0 })],
  ["random numbers", (device) => uniform(device.program({ eager: true }), [40], { seed: 3, purpose: "x", step: 0 })],
];

describe("the interpreter", () => {
  it.each(operations)("gives the bits of the adapter: %s", async (_, operation) => {
    const [given, wanted] = await Promise.all(
      [interpreter, adapter].map((device) =>
        operation(device, device.tensor(x, [8, 8]), device.tensor(x.toReversed(), [8, 8])).read(),
      ),
    );
    expect(given).toEqual(wanted);
  });

  it("puts rows of NaN last among neighbours, as adapters do, whatever clamp makes of NaN", async () => {
    const bank = interpreter.tensor([1, 2, Number.NaN, 1, 3, 1, -1, -1], [4, 2]);
    const y = nearest(interpreter.tensor([1, 1, Number.NaN, 1], [2, 2]), bank, { k: 4, metric: "dot" });
    expect([...(await y.indices.read())]).toEqual([2, 0, 3, 1, 0, 1, 2, 3]);
    expect((await y.similarities.read()).slice(3)).toEqual(new Float32Array(5).fill(-3.39e38));
  });

  it("chooses between 0 and -0 as adapters do, which is theirs to choose in max, min and clamp", async () => {
    for (const device of [interpreter, adapter]) {
      const [a, b] = [device.tensor([0, -0, -0]), device.tensor([-0, 0, -0])];
      expect([...(await maximum(a, b).read())]).toEqual([0, -0, -0]);
      expect([...(await minimum(a, b).read())]).toEqual([0, -0, -0]);
      expect([...(await maximum(b, 0).read())]).toEqual([-0, 0, -0]);
      expect([...(await relu(a).read())]).toEqual([0, 0, 0]);
      expect([...(await clamp(a, { low: 0 }).read())]).toEqual([0, 0, 0]);
      expect([...(await clamp(a, { high: 0 }).read())]).toEqual([0, 0, 0]);
    }
  });

  it("gives the bits of the adapter for random expressions", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(randomExpression, (expression) => expectEqual(kernelOf(expression))),
      { numRuns: 40 },
    );
  });

  it("keeps memory of all kinds, scopes, loops and barriers as the adapter does", async () => {
    await expectEqual(`
      struct Pair { first: u32, second: vec2f }
      const size = 16u;
      override factor: u32 = 3u;
      const start = size / 4u;
      var<workgroup> shared_words: array<u32, size>;
      var<workgroup> pairs: array<Pair, 16>;
      var<workgroup> most: atomic<u32>;
      var<private> calls: u32;
      fn twice(value: u32) -> u32 { calls += 1u; return value * 2u; }
      fn rotate(values: array<u32, 4>) -> array<u32, 4> {
        var turned = values;
        turned[0] = values[3];
        for (var i = 1; i < 4; i++) { turned[i] = values[i - 1]; }
        return turned;
      }
      @compute @workgroup_size(size)
      fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
        let at = group.x * size + lane;
        shared_words[lane] = n[at];
        var own = array<u32, 4>(n[at], lane, start, factor);
        let before = own;
        own = rotate(own);
        var v = vec4f(x[at]);
        let kept = v;
        v.y = 2.0;
        v[lane % 4u] = 7.0;
        pairs[lane] = Pair(lane, vec2f(v.x, v.y));
        atomicMax(&most, n[at] & 1023u);
        for (var stride = size / 2u; stride > 0u; stride /= 2u) {
          workgroupBarrier();
          if (lane < stride) { shared_words[lane] += shared_words[lane + stride]; }
        }
        workgroupBarrier();
        var result = shared_words[0] ^ atomicLoad(&most);
        var i = 0u;
        loop {
          i++;
          if (i == 3u) { continue; }
          if (i > 5u) { break; }
          let i = twice(i); // another i
          result = result * 31u + i;
        }
        switch lane % 3u {
          case 0u: { result ^= before[3] + own[0]; }
          case 1u, 2u: { result += bitcast<u32>(v.y) ^ bitcast<u32>(kept.y); }
          default: { result = 0u; }
        }
        let other = pairs[(lane + 5u) % size];
        result += other.first + bitcast<u32>(other.second.y) + calls;
        while (result > 4000000000u) { result -= 77u; }
        y[at] = result;
      }`);
  });

  it("refuses what has no one result, by name and line", async () => {
    await expect(exp(interpreter.tensor([1])).read()).rejects.toThrow(/WGSL line \d+: exp has no one result/);
  });

  it("tells of an index outside its array, and of a barrier that some invocations never reach", async () => {
    const main = "@compute @workgroup_size(16) fn main(@builtin(local_invocation_index) lane: u32)";
    await expect(runText(interpreter, `${main} { y[lane] = n[lane + 60u]; }`, x, n)).rejects.toThrow(
      /index 64 is outside an array of 64 elements/,
    );
    await expect(runText(interpreter, `${main} { if (lane < 3u) { workgroupBarrier(); } }`, x, n)).rejects.toThrow(
      /3 of 16 invocations wait at a barrier/,
    );
  });
});
