// y[i, :] = sum of values[r, :] over the r with indices[r] = i, in the order of r; a thread owns one column of a range of rows of y,
// so that no two threads add to one element and the sum has one order. An index past the end adds to the last row and raises the flag.
struct Params { sources: u32, columns: u32, rows: u32, rowsPerRange: u32, slot: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(32)
fn scatter_add(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let ranges = (params.rows + params.rowsPerRange - 1u) / params.rowsPerRange;
  let group = unfold(workgroup, grid, vec2u((params.columns + 31u) / 32u, ranges));
  if (group.z > 0u) { return; }
  let column = 32u * group.x + lane;
  let first = group.y * params.rowsPerRange;
  let end = min(first + params.rowsPerRange, params.rows);
  if (column >= params.columns) { return; }
  for (var row = first; row < end; row += 1u) { y[row * params.columns + column] = 0.0; }
  for (var source = 0u; source < params.sources; source += 1u) {
    let index = indices[source];
    let row = min(index, params.rows - 1u);
    if (row >= first && row < end) {
      if (index >= params.rows && column == 0u) { atomicMax(&flags[params.slot], select(index + 1u, index, index > 0x80000000u)); }
      y[row * params.columns + column] += values[source * params.columns + column];
    }
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
