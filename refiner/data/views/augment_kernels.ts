import { d, tgpu } from "typegpu";
import { defineKernel } from "../../../engine/index.ts";
import pixelsSource from "../../../shaders/augment_pixels.wgsl" with { type: "text" };
import tablesSource from "../../../shaders/augment_tables.wgsl" with { type: "text" };
import eraseSource from "../../../shaders/erase.wgsl" with { type: "text" };
import noiseSource from "../../../shaders/erase_noise.wgsl" with { type: "text" };

const drawn = { storage: d.arrayOf(d.vec4u) } as const;
const words = { storage: d.arrayOf(d.u32) } as const;
const written = { storage: d.arrayOf(d.u32), access: "mutable" } as const;
const floats = { storage: d.arrayOf(d.f32) } as const;
const writtenFloats = { storage: d.arrayOf(d.f32), access: "mutable" } as const;

const TablesParams = d
  .struct({ firstRow: d.u32, batch: d.u32, count: d.u32, steps: d.u32, step: d.u32 })
  .$name("Params");
export const augmentTablesKernel = defineKernel({
  name: "augment_tables",
  source: tablesSource,
  params: TablesParams,
  layout: tgpu.bindGroupLayout({ params: { uniform: TablesParams }, drawn, pixels: words, tables: written }),
});

const PixelsParams = d
  .struct({ firstRow: d.u32, batch: d.u32, width: d.u32, height: d.u32, steps: d.u32, step: d.u32 })
  .$name("Params");
export const augmentPixelsKernel = defineKernel({
  name: "augment_pixels",
  source: pixelsSource,
  params: PixelsParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: PixelsParams },
    drawn,
    tables: words,
    pixels: words,
    augmented: written,
  }),
});

const EraseParams = d
  .struct({ firstRow: d.u32, channels: d.u32, height: d.u32, width: d.u32, count: d.u32 })
  .$name("Params");
export const eraseNoiseKernel = defineKernel({
  name: "erase_noise",
  source: noiseSource,
  params: EraseParams,
  layout: tgpu.bindGroupLayout({ params: { uniform: EraseParams }, erasures: drawn, noise: writtenFloats }),
});
export const eraseKernel = defineKernel({
  name: "erase",
  source: eraseSource,
  params: EraseParams,
  layout: tgpu.bindGroupLayout({
    params: { uniform: EraseParams },
    erasures: drawn,
    images: floats,
    noise: floats,
    y: writtenFloats,
  }),
});
