// y = x below and on a diagonal of the last two axes, or above and on it; 0 elsewhere. The grid strides over the elements.
alias Stored = f32; // as it lies in memory; f16 for half precision, u32 or i32
override upper: bool = false;
struct Params { count: u32, rows: u32, columns: u32, diagonal: i32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(64)
fn triangle(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let row = i32(i / params.columns % params.rows);
    let beyond = i32(i % params.columns) - row - params.diagonal; // columns right of the diagonal
    y[i] = select(Stored(), x[i], select(beyond <= 0, beyond >= 0, upper));
  }
}
