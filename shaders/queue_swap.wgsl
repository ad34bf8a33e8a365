// The chosen neighbour of each row: out[r] = queue[indices[r, choice[r]]], with its similarity, age and class agreement.
// One invocation per element of `swapped`; the first of each row writes the row's values.
struct Params { rows: u32, columns: u32, k: u32, batch: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> similarities: array<f32>;
@group(0) @binding(3) var<storage, read> choice: array<u32>;
@group(0) @binding(4) var<storage, read> queue: array<f32>;
@group(0) @binding(5) var<storage, read_write> swapped: array<f32>;
@group(0) @binding(6) var<storage, read_write> neighbours: array<u32>;
@group(0) @binding(7) var<storage, read_write> chosenSimilarities: array<f32>;

@compute @workgroup_size(64)
fn queue_swap(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let count = params.rows * params.columns;
  for (var at = id.x; at < count; at += groups.x * 64u) {
    let row = at / params.columns;
    let column = at % params.columns;
    let rank = row * params.k + min(choice[row], params.k - 1u);
    let neighbour = indices[rank];
    swapped[at] = queue[neighbour * params.columns + column];
    if (column == 0u) {
      neighbours[row] = neighbour;
      chosenSimilarities[row] = similarities[rank];
    }
  }
}
