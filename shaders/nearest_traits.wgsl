// What the search needs to know of each row beside its values: 1 / max(|row|, 1e-12), or 1 for dot products; its id; its class.
// Counts of 0 mean that there are no ids or labels; fewer than rows repeat, as for several views of one batch.
struct Params { rows: u32, columns: u32, firstRow: u32, normalises: u32, idCount: u32, labelCount: u32 }
struct Trait { scale: f32, id: u32, label: u32, padding: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>; // of all rows, of which x may be a range
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<Trait>;

@compute @workgroup_size(64)
fn nearest_traits(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var row = thread.x; row < params.rows; row += 64u * groups.x) {
    var traits = Trait(1.0, 0u, 0u, 0u);
    if (params.normalises == 1u) {
      var sum = 0.0;
      for (var c = 0u; c < params.columns; c += 1u) {
        let value = x[row * params.columns + c];
        sum += value * value;
      }
      traits.scale = 1.0 / max(sqrt(sum), 1e-12);
    }
    if (params.idCount > 0u) { traits.id = ids[(params.firstRow + row) % params.idCount]; }
    if (params.labelCount > 0u) { traits.label = labels[(params.firstRow + row) % params.labelCount]; }
    y[row] = traits;
  }
}
