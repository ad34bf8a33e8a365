import { beforeAll, describe, expect, it } from "vitest";
import { Arena, type Device, recordProgram, type Tensor } from "../../engine/index.ts";
import { transformerBlock } from "../../models/index.ts";
import { blockParameters } from "../../models/parameters.ts";
import { testDevice } from "../device.ts";

const width = 96; // wide enough that no weight gradient is cut along its depth
const segments = [
  { firstRow: 0, batch: 8, tokens: 65 },
  { firstRow: 520, batch: 8, tokens: 17 },
];
const rows = 656;

let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

function blockOf(parameters: Arena, x: Tensor): Tensor {
  return transformerBlock(parameters, "blocks.0", x, { kind: "prenorm", heads: 3, epsilon: 1e-6, segments });
}

describe("the dispatches of a pre-norm block on rows of two resolutions", () => {
  const forward = () => {
    const parameters = new Arena(device, "block", blockParameters("blocks.0", width, 4 * width, 1));
    return recordProgram(device, (p) => ({ y: blockOf(parameters, p.input("x", [rows, width])) }), { inference: true });
  };
  // Where subgroups are too small for the fused norm, it is a dispatch of its own.
  const most = () => ((device.subgroupSize ?? 0) >= 8 && device.isSoftware ? 6 : 7);

  it("are at most six forward", { timeout: 10_000 }, () => {
    expect(forward().stats.dispatches).toBeLessThanOrEqual(most());
  });

  it("are at most fourteen more backward", { timeout: 10_000 }, () => {
    const parameters = new Arena(device, "block", blockParameters("blocks.0", width, 4 * width, 1));
    const step = recordProgram(device, (p) => {
      const x = p.input("x", [rows, width]);
      const y = blockOf(parameters, x);
      const targets = [x, ...parameters.tensors.values()];
      const gradients = p.gradients(y, targets, p.input("dy", [rows, width]));
      return { y, ...Object.fromEntries(gradients.map((gradient, i) => [`gradient${i}`, gradient])) };
    });
    const others = forward().stats.dispatches;
    expect(step.stats.dispatches - others).toBeLessThanOrEqual(14);
  });
});
