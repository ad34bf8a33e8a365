// y[r, :] = table[indices[r], :]; an index past the end reads the last row and raises the flag.
struct Params { rows: u32, columns: u32, tableRows: u32, slot: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(64)
fn gather(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var at = thread.x; at < params.rows * params.columns; at += 64u * groups.x) {
    let row = at / params.columns;
    let column = at % params.columns;
    let index = indices[row];
    if (index >= params.tableRows && column == 0u) {
      atomicMax(&flags[params.slot], select(index + 1u, index, index > 0x80000000u));
    }
    y[at] = table[min(index, params.tableRows - 1u) * params.columns + column];
  }
}
