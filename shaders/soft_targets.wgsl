// Targets of a batch with label smoothing (arXiv 1512.00567, § 7), mixed with those of the partner B - 1 - b (arXiv 1710.09412, eq. 1):
//   targets[b, c] = share s(labels[b], c) + (1 - share) s(labels[B - 1 - b], c),   s = smoothing / classes, and 1 - smoothing more for the label.
// A label outside the classes is clamped and raises the flag: bad index + 1, or a negative one as it is. One invocation per element; the grid strides over them.
struct Params { rows: u32, columns: u32, smoothing: f32, slot: u32 }
struct Mixing { blend: f32, share: f32, top: f32, left: f32, bottom: f32, right: f32 } // the box is half open
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> mixing: Mixing;
@group(0) @binding(3) var<storage, read_write> targets: array<f32>;
@group(0) @binding(4) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(64)
fn soft_targets(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let off = params.smoothing / f32(params.columns);
  let on = 1.0 - params.smoothing + off;
  let share = mixing.share;
  let rest = 1.0 - share;
  let last = params.columns - 1u;
  for (var i = id.x; i < params.rows * params.columns; i += groups.x * 64u) {
    let row = i / params.columns;
    let column = i - row * params.columns;
    let label = labels[row];
    if (label > last) { atomicMax(&flags[params.slot], select(label + 1u, label, label > 0x80000000u)); }
    let own = select(off, on, min(label, last) == column);
    let other = select(off, on, min(labels[params.rows - 1u - row], last) == column);
    targets[i] = share * own + rest * other;
  }
}
