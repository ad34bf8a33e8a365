import { expect, it } from "vitest";
import { cast, Device, hostNormal, hostUniform, MissingFeatureError, recordProgram } from "../../engine/index.ts";
import { matmulVariants } from "../../engine/ops/matmul_kernels.ts";
import { maxError } from "../../engine/testing/index.ts";
import {
  initializeParameters,
  type Precision,
  VisionTransformer,
  type VitKind,
  vitConfig,
  vitParameters,
} from "../../models/index.ts";
import { modelBounds } from "../../refiner/conformance/bounds.ts";
import { testDevice } from "../device.ts";

const device = await testDevice();
const blocks = 3;
const images = 4;
const rate = 0.3; // of drop path

function model(kind: VitKind, on = device): VisionTransformer {
  const config = vitConfig({
    ...{ kind, patchPixels: 4, width: 32, blocks, heads: 2, heightPixels: 16, widthPixels: 16 },
  });
  const vit = new VisionTransformer(on, config);
  initializeParameters(vit.parameters, vitParameters(config), 1);
  vit.writeSincosPositions();
  return vit;
}

/**
 * Output and gradients of all parameters with drop path.
 *
 * @param launched - takes the names of the kernels
 */
async function run(vit: VisionTransformer, precision: Precision, recompute: boolean, launched: string[] = []) {
  const tokens = 17;
  const rows = images * tokens;
  const kept = hostUniform(2 * blocks * images, { seed: 2, purpose: "keep" });
  const table = device.tensor(
    kept.map((draw) => (draw < rate ? 0 : 1 / (1 - rate))),
    [2 * blocks, images],
  );
  const keep = Array.from({ length: blocks }, (_, j) => ({
    attention: { table, row: 2 * j },
    mlp: { table, row: 2 * j + 1 },
  }));
  const names = [...vit.parameters.tensors.keys()];
  const recorded = recordProgram(device, (program) => {
    const encoded = vit.forward(program.input("images", [images, 3, 16, 16]), { keep, precision, recompute });
    const y = cast(encoded.rows, "f32");
    const targets = [...vit.parameters.tensors.values()];
    const gradients = program.gradients(y, targets, program.input("seed", y.shape));
    return { y, ...Object.fromEntries(gradients.map((gradient, i) => [names[i] ?? "", gradient])) };
  });
  launched.push(
    ...recorded.program.commands.map((command) => (command.type === "dispatch" ? command.kernel.name : command.type)),
  );
  const inputs = {
    images: hostNormal(images * 3 * 256, { seed: 3, purpose: "images" }),
    seed: hostNormal(rows * 32, { seed: 4, purpose: "seed" }),
  };
  const values: Record<string, ArrayLike<number>> = await (await recorded.run(inputs, ["y", ...names] as "y"[])).read();
  recorded.destroy();
  return values;
}

it.skipIf(!device.features.has("shader-f16")).each([
  ["prenorm", false],
  ["prenorm", true],
  ["postnorm", false],
] as const)(
  "%s with drop path (recomputed: %s) is in f16 what it is in f32",
  {
    timeout: 120_000,
  },
  async (kind, recompute) => {
    const vit = model(kind);
    const [expected, actual] = [await run(vit, "f32", false), await run(vit, "f16", recompute)];
    const bounds = modelBounds("f16", blocks);
    for (const [name, values] of Object.entries(expected)) {
      const bound = name === "y" ? bounds.forward : bounds.gradient;
      expect(maxError(actual[name] ?? [], values), name).toBeLessThan(bound);
    }
  },
);

it("multiplies f16 rows and attends with the adapter's matrices, forward and backward", {
  timeout: 240_000,
}, async (context) => {
  const [name, shape] = ["matrix_2x2_2x2", { rows: 68, columns: 32, depth: 32, batches: 1, dtype: "f16" as const }];
  const reason = matmulVariants.find((variant) => variant.name === name)?.unsupported(device, shape);
  if (reason !== undefined) context.skip(`${device.info.name}: ${reason}`);
  const vit = model("prenorm");
  const expected = await run(vit, "f32", false);
  device.tuning.force("matmul", name);
  device.tuning.force("attention", "matrix_4x1");
  const launched: string[] = [];
  const actual = await run(vit, "f16", false, launched).finally(() => {
    for (const operation of ["matmul", "attention"]) device.tuning.force(operation, undefined);
  });
  // Four layers of each block, their gradients by input and by weight, and the embedding of patches with that of its weight.
  expect(launched.filter((kernel) => kernel === "matmul_matrix").length).toBeGreaterThanOrEqual(12 * blocks);
  expect(launched.filter((kernel) => kernel.startsWith("attention_")).length).toBe(3 * blocks);
  expect(launched.filter((kernel) => kernel === "attention_matrix").length).toBe(blocks);
  const bounds = modelBounds("f16", blocks);
  for (const [tensor, values] of Object.entries(expected)) {
    expect(maxError(actual[tensor] ?? [], values), tensor).toBeLessThan(
      tensor === "y" ? bounds.forward : bounds.gradient,
    );
  }
});

it("f16 needs shader-f16, and the error names the remedy", () => {
  const plain = new Device(device.gpu, { device: device.gpu });
  Object.defineProperty(plain, "features", { value: new Set() });
  const vit = model("prenorm", plain);
  const forward = () => vit.forward(plain.zeros([1, 3, 16, 16]), { precision: "f16" });
  expect(forward).toThrow(MissingFeatureError);
  expect(forward).toThrow(/vit: precision f16: needs the feature shader-f16, .*; use f32 or another adapter/);
});
