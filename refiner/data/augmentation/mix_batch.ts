import { d, tgpu } from "typegpu";
import {
  checkDType,
  checkRank,
  checkSameShape,
  defineKernel,
  OptionError,
  programOf,
  type Tensor,
} from "../../../engine/index.ts";
import mixSource from "../../../shaders/mix_images.wgsl" with { type: "text" };
import targetSource from "../../../shaders/soft_targets.wgsl" with { type: "text" };
import { mixingLength } from "./mixing.ts";

const MixParams = d.struct({ images: d.u32, rows: d.u32, columns: d.u32, plane: d.u32 }).$name("Params");
const Mixing = d
  .struct({ blend: d.f32, share: d.f32, top: d.f32, left: d.f32, bottom: d.f32, right: d.f32 })
  .$name("Mixing");
export const mixImagesKernel = defineKernel({
  name: "mix_images",
  source: mixSource,
  params: MixParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: MixParams },
    x: { storage: d.arrayOf(d.vec4f) },
    mixing: { storage: Mixing },
    y: { storage: d.arrayOf(d.vec4f), access: "mutable" },
  }),
});
const TargetParams = d.struct({ rows: d.u32, columns: d.u32, smoothing: d.f32, slot: d.u32 }).$name("Params");
export const softTargetsKernel = defineKernel({
  name: "soft_targets",
  source: targetSource,
  params: TargetParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: TargetParams },
    labels: { storage: d.arrayOf(d.u32) },
    mixing: { storage: Mixing },
    targets: { storage: d.arrayOf(d.f32), access: "mutable" },
    flags: { storage: d.arrayOf(d.atomic(d.u32)), access: "mutable" },
  }),
});

/** Most workgroups worth starting; each invocation strides over the rest. */
const mostWorkgroups = 4096;

/**
 * Every image mixed with its partner, image b with image B - 1 - b (mixup, arXiv 1710.09412; CutMix, arXiv 1905.04899). Images are
 * data: no gradient flows through.
 *
 * @param images - `[B, C, H, W]`, f32
 * @param mixing - `[6]`, see `mixingValues`
 * @throws RankError, ShapeError, DTypeError
 */
export function mixImages(images: Tensor, mixing: Tensor): Tensor {
  checkRank("mixImages", "images", images, 4);
  checkDType("mixImages", "images", images, ["f32"]);
  checkMixing("mixImages", mixing);
  const [count = 1, , rows = 1, columns = 1] = images.shape;
  const width = columns % 4 === 0 ? 4 : 1;
  const plane = images.size / count / width;
  const program = programOf("mixImages", images, mixing);
  const y = program.empty(images.shape);
  program.dispatch(
    mixImagesKernel,
    { images: count, rows, columns: columns / width, plane },
    { x: images, mixing, y },
    [Math.min(mostWorkgroups, Math.ceil((Math.ceil(count / 2) * plane) / 64))],
    {
      declarations:
        width === 4
          ? { Element: "vec4f", steps: "vec4f(0.0, 1.0, 2.0, 3.0)", width: "4u" }
          : { Element: "f32", steps: "0.0", width: "1u" },
      flops: 3 * images.size,
    },
  );
  return y;
}

/**
 * Targets `[B, classes]` of a batch: smoothed labels (arXiv 1512.00567, § 7), mixed with those of the partner as the images are.
 *
 * @param labels - `[B]`, u32; one outside the classes is clamped and becomes an `IndexError` at the next read
 * @param mixing - `[6]`, see `mixingValues`
 * @throws RankError, ShapeError, DTypeError, OptionError
 */
export function softTargets(
  labels: Tensor,
  mixing: Tensor,
  { classes, labelSmoothing }: { readonly classes: number; readonly labelSmoothing: number },
): Tensor {
  checkRank("softTargets", "labels", labels, 1);
  checkDType("softTargets", "labels", labels, ["u32"]);
  checkMixing("softTargets", mixing);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1))
    throw new OptionError(`softTargets: labelSmoothing ${labelSmoothing} is outside 0 … 1; a usual value is 0.1`);
  const program = programOf("softTargets", labels, mixing);
  const targets = program.empty([labels.size, classes]);
  const { tensor: flags, slot } = program.flag(`softTargets (${classes} classes)`);
  program.dispatch(
    softTargetsKernel,
    { rows: labels.size, columns: classes, smoothing: labelSmoothing, slot },
    { labels, mixing, targets, flags },
    [Math.min(mostWorkgroups, Math.ceil(targets.size / 64))],
    { flops: 3 * targets.size },
  );
  return targets;
}

function checkMixing(operation: string, mixing: Tensor): void {
  checkDType(operation, "mixing", mixing, ["f32"]);
  checkSameShape(operation, "mixing", mixing.shape, [mixingLength]);
}
