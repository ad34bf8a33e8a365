import { d, tgpu } from "typegpu";
import { defineKernel } from "../../../engine/index.ts";
import finishSource from "../../../shaders/views_finish.wgsl" with { type: "text" };
import jitterSource from "../../../shaders/views_jitter.wgsl" with { type: "text" };
import resizeSource from "../../../shaders/views_resize.wgsl" with { type: "text" };

const View = d
  .struct({ crop: d.vec4u, scaled: d.vec4u, factors: d.vec4f, colour: d.vec4u, blur: d.vec4u })
  .$name("View");
const parameters = { storage: d.arrayOf(View) } as const;
const words = { storage: d.arrayOf(d.u32) } as const;

const ResizeParams = d
  .struct({ firstRow: d.u32, batch: d.u32, width: d.u32, height: d.u32, support: d.u32 })
  .$name("Params");
export const viewsResizeKernel = defineKernel({
  name: "views_resize",
  source: resizeSource,
  params: ResizeParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: ResizeParams },
    images: words,
    placement: { storage: d.arrayOf(d.vec4u) },
    parameters,
    pixels: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});

const JitterParams = d.struct({ firstRow: d.u32, batch: d.u32, count: d.u32 }).$name("Params");
export const viewsJitterKernel = defineKernel({
  name: "views_jitter",
  source: jitterSource,
  params: JitterParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: JitterParams },
    parameters,
    pixels: words,
    jittered: { storage: d.arrayOf(d.u32), access: "mutable" },
  }),
});

const FinishParams = d
  .struct({
    firstRow: d.u32,
    batch: d.u32,
    width: d.u32,
    height: d.u32,
    channels: d.u32,
    halo: d.u32,
    center: d.vec3f,
    scale: d.vec3f,
  })
  .$name("Params");
export const viewsFinishKernel = defineKernel({
  name: "views_finish",
  source: finishSource,
  params: FinishParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: FinishParams },
    parameters,
    pixels: words,
    y: { storage: d.arrayOf(d.f32), access: "mutable" },
  }),
});
