// The strided copy of strided_copy.wgsl where x is contiguous along one axis and y along another: each invocation transposes 4 x 4 words
// in registers, so that both sides move 16 bytes at once. Offsets and strides count vec4s; the axes count tiles.
struct Params {
  count: u32, // tiles
  rank: u32, // axes in use
  xOffset: u32,
  yOffset: u32,
  xStep: u32, // between the four loads of a tile
  yStep: u32, // between its four stores
  axis0: vec4u, // (length, xStride, yStride, unused); axis0 varies fastest
  axis1: vec4u,
  axis2: vec4u,
  axis3: vec4u,
  axis4: vec4u,
  axis5: vec4u,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;

// What is left of the index, and the offsets in x and y so far.
fn step(position: vec3u, axis: vec4u) -> vec3u {
  let rest = position.x / axis.x;
  let coordinate = position.x - rest * axis.x;
  return vec3u(rest, position.y + coordinate * axis.y, position.z + coordinate * axis.z);
}

@compute @workgroup_size(64)
fn strided_transpose(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    var position = step(step(vec3u(i, params.xOffset, params.yOffset), params.axis0), params.axis1);
    if (params.rank > 2u) { position = step(position, params.axis2); }
    if (params.rank > 3u) { position = step(position, params.axis3); }
    if (params.rank > 4u) { position = step(position, params.axis4); }
    if (params.rank > 5u) { position = step(position, params.axis5); }
    let a = x[position.y];
    let b = x[position.y + params.xStep];
    let c = x[position.y + 2u * params.xStep];
    let d = x[position.y + 3u * params.xStep];
    y[position.z] = vec4u(a.x, b.x, c.x, d.x);
    y[position.z + params.yStep] = vec4u(a.y, b.y, c.y, d.y);
    y[position.z + 2u * params.yStep] = vec4u(a.z, b.z, c.z, d.z);
    y[position.z + 3u * params.yStep] = vec4u(a.w, b.w, c.w, d.w);
  }
}
