import { d, tgpu } from "typegpu";
import { beforeAll, describe, expect, it } from "vitest";
import { type Device, defineKernel, gelu, OutOfBoundsError, recordProgram } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const Params = d.struct({ count: d.u32 }).$name("Params");
const countKernel = defineKernel({
  name: "write_ones",
  source: `struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn write_ones(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.count) { y[id.x] = 1.0; } }`,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

let device: Device;
beforeAll(async () => {
  device = await testDevice({ canaries: true });
});

/** Writes `count` ones into recorded memory for five. */
async function ones(count: number): Promise<readonly number[]> {
  const recorded = recordProgram(device, (program) => {
    const y = program.empty([5]);
    program.dispatch(countKernel, { count }, { y }, [1]);
    return { y };
  });
  return [...(await (await recorded.run({}, ["y"])).read()).y];
}

describe("canary words", { timeout: 30_000 }, () => {
  it("stay where a kernel keeps to its tensors", async () => {
    expect(await ones(5)).toEqual([1, 1, 1, 1, 1]);
    expect(await gelu(device.tensor([0, 0, 0])).read()).toEqual(new Float32Array(3));
  });

  it.each([6, 64])("tell that a kernel wrote %i numbers into a tensor of five", async (count) => {
    const expected = "write_ones: y [5]: a kernel wrote 0 bytes behind it; correct the kernel's bounds";
    await expect(ones(count)).rejects.toThrow(new OutOfBoundsError(expected));
    await ones(5); // the error was told once
  });

  it("stand behind state as well", async () => {
    const y = device.zeros([5], "f32", "state");
    const recorded = recordProgram(device, (program) => {
      program.dispatch(countKernel, { count: 7 }, { y }, [1]);
      return {};
    });
    await recorded.run();
    await expect(y.read()).rejects.toThrow(OutOfBoundsError);
  });
});
