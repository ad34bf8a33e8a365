// dx[t, :] = dy[r, :] / count for the rows t that pool_tokens averaged into y[r, :], else 0. owners[t] = (r + 1, count), or (0, 1).
alias Stored = f32; // token rows in memory: f32 or f16; pooled features are f32
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> owners: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(64)
fn pool_tokens_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let count = params.rows * params.columns;
  for (var at = id.x; at < count; at += groups.x * 64u) {
    let owner = owners[at / params.columns];
    var value = 0.0;
    if (owner.x > 0u) { value = dy[(owner.x - 1u) * params.columns + at % params.columns] / f32(owner.y); }
    dx[at] = Stored(value);
  }
}
