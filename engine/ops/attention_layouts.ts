import { d, tgpu } from "typegpu";

/** Uniforms of every kernel of attention. */
export const attentionParams = d
  .struct({
    tiles: d.u32,
    heads: d.u32,
    scale: d.f32,
    depth: d.u32,
    firstTile: d.vec4u,
    firstRow: d.vec4u,
    tokens: d.vec4u,
  })
  .$name("Params");

const scalars = d.arrayOf(d.f32);

/**
 * Bindings of the three passes.
 *
 * @param element - operands are read by single numbers or by four
 */
export const attentionLayouts = (element: typeof d.f32 | typeof d.vec4f) => {
  const values = d.arrayOf(element);
  const params = { uniform: attentionParams };
  return {
    forward: tgpu.bindGroupLayout({
      params,
      qkv: { storage: values },
      y: { storage: values, access: "mutable" },
      logSums: { storage: scalars, access: "mutable" },
    }),
    gradQuery: tgpu.bindGroupLayout({
      params,
      qkv: { storage: values },
      y: { storage: values },
      logSums: { storage: scalars },
      dy: { storage: values },
      dqkv: { storage: values, access: "mutable" },
      deltas: { storage: scalars, access: "mutable" },
    }),
    gradKey: tgpu.bindGroupLayout({
      params,
      qkv: { storage: values },
      logSums: { storage: scalars },
      deltas: { storage: scalars },
      dy: { storage: values },
      dqkv: { storage: values, access: "mutable" },
    }),
  };
};
