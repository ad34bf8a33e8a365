// y[4 i + k] = byte k of the word x[i]; one invocation per word.
alias Destination = f32; // f32, f16, u32 or i32
struct Params { count: u32 } // bytes
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Destination>;

@compute @workgroup_size(64)
fn cast_from_bytes(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var word = id.x; 4u * word < params.count; word += groups.x * 64u) {
    let bytes = x[word];
    let end = min(params.count, 4u * word + 4u);
    for (var i = 4u * word; i < end; i++) { y[i] = Destination((bytes >> (8u * (i & 3u))) & 255u); }
  }
}
