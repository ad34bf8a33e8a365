// Byte k of the word y[i] = x[4 i + k], truncated and limited to 0 ... 255; one invocation per word. Bytes past the end are zero.
alias Source = f32; // f32, f16, u32 or i32
struct Params { count: u32 } // bytes
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Source>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn cast_to_bytes(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var word = id.x; 4u * word < params.count; word += groups.x * 64u) {
    var bytes = 0u;
    let end = min(params.count, 4u * word + 4u);
    for (var i = 4u * word; i < end; i++) { bytes |= u32(clamp(x[i], Source(0), Source(255))) << (8u * (i & 3u)); }
    y[word] = bytes;
  }
}
