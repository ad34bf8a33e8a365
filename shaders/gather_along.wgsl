// y[o, n, i] = x[o, indices[o, n, i], i]; an index past the end reads the last element and raises the flag.
alias Stored = f32; // as x lies in memory; f16 for half precision, u32 or i32
struct Params { count: u32, length: u32, inner: u32, sourceLength: u32, slot: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
@group(0) @binding(4) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(64)
fn gather_along(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var at = id.x; at < params.count; at += groups.x * 64u) {
    let index = indices[at];
    if (index >= params.sourceLength) { atomicMax(&flags[params.slot], select(index + 1u, index, index > 0x80000000u)); }
    let outer = at / params.inner / params.length;
    let origin = outer * params.sourceLength + min(index, params.sourceLength - 1u);
    y[at] = x[origin * params.inner + at % params.inner];
  }
}
