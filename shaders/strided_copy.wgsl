// y[yOffset + sum(c * yStride)] = x[xOffset + sum(c * xStride)] for all coordinates c: the copy behind permute, slice, concat and expand.
// Bits are copied, several elements at once where the strides allow; all offsets and strides count Elements.
// Splitting an index into coordinates costs more than the copy, so each invocation does it once for a run along one axis.
alias Element = u32; // u32, vec2u, vec4u or f16
// An axis is (length, xStride, yStride, unused); axis0 varies fastest.
struct Params {
  count: u32, // runs
  rank: u32, // axes in use
  xOffset: u32,
  yOffset: u32,
  run: vec4u,
  axis0: vec4u,
  axis1: vec4u,
  axis2: vec4u,
  axis3: vec4u,
  axis4: vec4u,
  axis5: vec4u,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read_write> y: array<Element>;

// What is left of the index, and the offsets in x and y so far.
fn step(position: vec3u, axis: vec4u) -> vec3u {
  let rest = position.x / axis.x;
  let coordinate = position.x - rest * axis.x;
  return vec3u(rest, position.y + coordinate * axis.y, position.z + coordinate * axis.z);
}

@compute @workgroup_size(64)
fn strided_copy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    var position = vec3u(i, params.xOffset, params.yOffset);
    if (params.rank > 0u) { position = step(position, params.axis0); }
    if (params.rank > 1u) { position = step(position, params.axis1); }
    if (params.rank > 2u) { position = step(position, params.axis2); }
    if (params.rank > 3u) { position = step(position, params.axis3); }
    if (params.rank > 4u) { position = step(position, params.axis4); }
    if (params.rank > 5u) { position = step(position, params.axis5); }
    var source = position.y;
    var destination = position.z;
    for (var k = 0u; k < params.run.x; k++) {
      y[destination] = x[source];
      source += params.run.y;
      destination += params.run.z;
    }
  }
}
