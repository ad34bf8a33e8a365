import { d, tgpu } from "typegpu";
import source from "../../shaders/assemble_tokens.wgsl" with { type: "text" };
import { ShapeError } from "../core/errors.ts";
import { defineKernel } from "../core/kernel.ts";
import { checkDType, checkRank, checkSameShape, showShape, sizeOf } from "../core/shape.ts";
import { programOf, reshape, type Tensor } from "../core/tensor.ts";
import { cast } from "./cast.ts";
import { gridOf } from "./grid.ts";
import { sumTo } from "./reduce.ts";
import { slice } from "./slice.ts";

const Params = d
  .struct({
    images: d.u32,
    imagesPerRun: d.u32,
    runs: d.u32,
    patchCount: d.u32,
    classCount: d.u32,
    columns: d.u32,
  })
  .$name("Params");
export const assembleTokensKernel = defineKernel({
  name: "assemble_tokens",
  source,
  params: Params,
  layout: tgpu.bindGroupLayout({
    params: { uniform: Params },
    patches: { storage: d.arrayOf(d.f32) },
    positions: { storage: d.arrayOf(d.f32) },
    classTokens: { storage: d.arrayOf(d.f32) },
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});

/** Images served by one invocation: enough to hide the splitting of indices (measured, bench/movement). */
const imagesPerRun = 8;

/**
 * The token rows of a ViT: class tokens, then patches with their positions added (class tokens get none).
 *
 * @param patches - `[B, N, D]`, f32 or f16
 * @param positions - `N` embeddings of width `D` in row-major order, such as `[N, D]` or `[1, h, w, D]`; f32 or f16
 * @param classTokens - `C` embeddings of width `D`, such as `[C, D]` or `[1, C, D]`, of the type of `positions`
 * @returns `[B, C + N, D]` in the type of `patches`
 * @throws RankError, ShapeError, DTypeError
 */
export function assembleTokens(patches: Tensor, positions: Tensor | undefined, classTokens?: Tensor): Tensor {
  checkRank("assembleTokens", "patches", patches, 3);
  checkDType("assembleTokens", "patches", patches, ["f32", "f16"]);
  const [images = 1, patchCount = 1, width = 1] = patches.shape;
  const parameter = (positions ?? classTokens ?? patches).dtype;
  const places = positions && flatRows("positions", positions, width);
  const classRows = classTokens && flatRows("classTokens", classTokens, width);
  if (places) checkSameShape("assembleTokens", "positions (as rows)", places.shape, [patchCount, width]);
  if (places) checkDType("assembleTokens", "positions", places, ["f32", "f16"]);
  if (classRows) checkDType("assembleTokens", "classTokens", classRows, [parameter]);
  const classCount = classRows?.shape[0] ?? 0;
  const program = programOf("assembleTokens", patches, positions, classTokens);
  const y = program.empty([images, classCount + patchCount, width], patches.dtype);
  const vector = width % 4 === 0 ? 4 : 1;
  const runs = Math.ceil(images / imagesPerRun);
  const element = (type: string) => (vector === 4 ? `vec4<${type}>` : type);
  program.dispatch(
    assembleTokensKernel,
    { images, imagesPerRun, runs, patchCount, classCount, columns: width / vector },
    { patches, positions: places ?? patches, classTokens: classRows ?? patches, y },
    gridOf(program.device, (y.size / images / vector) * runs),
    {
      constants: { withPositions: places ? 1 : 0 },
      declarations: { Element: element(patches.dtype), Parameter: element(parameter), Wide: element("f32") },
      flops: places ? patches.size : 0,
    },
  );
  // Patches and class tokens are rows of y; positions and class tokens repeat over the images, so theirs are sums over b.
  return program.record(y, [patches, positions, classTokens], (dy, needs) => {
    const dPatches = needs[0] || needs[1] ? slice(dy, [undefined, [classCount, classCount + patchCount]]) : undefined;
    const dClass = needs[2] ? slice(dy, [undefined, [0, classCount]]) : undefined;
    return [dPatches, needs[1] ? overImages(dPatches, positions) : undefined, overImages(dClass, classTokens)];
  });
}

function overImages(dRows: Tensor | undefined, parameter: Tensor | undefined): Tensor | undefined {
  if (!dRows || !parameter) return undefined;
  const wide = cast(dRows, "f32"); // sums over a batch are f32, in storage too
  return cast(reshape(sumTo(wide, [1, ...dRows.shape.slice(1)]), parameter.shape), parameter.dtype);
}

function flatRows(name: string, x: Tensor, width: number): Tensor {
  if (x.shape.at(-1) !== width) {
    throw new ShapeError(`assembleTokens: ${name} has shape ${showShape(x.shape)}, expected a last axis of ${width}`);
  }
  return reshape(x, [sizeOf(x.shape) / width, width]);
}
