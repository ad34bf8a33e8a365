// Copies the view-major rows of a micro-batch into those of the whole batch, or back:
//   batch[v*B + first + b, :] <-> part[v*m + b, :]   for b in 0 … m - 1
override toBatch: bool = true;
struct Params { views: u32, batch: u32, part: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> first: array<u32>;
@group(0) @binding(3) var<storage, read_write> destination: array<f32>;

@compute @workgroup_size(64)
fn batch_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let count = params.views * params.part * params.columns;
  let offset = min(first[0], params.batch - params.part);
  for (var i = id.x; i < count; i += groups.x * 64u) {
    let row = i / params.columns;
    let there = ((row / params.part) * params.batch + offset + row % params.part) * params.columns + i % params.columns;
    if (toBatch) { destination[there] = source[i]; } else { destination[i] = source[there]; }
  }
}
