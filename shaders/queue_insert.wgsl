// Writes the first `batch` rows of `projections` into the `batch` entries before the queue's pointer, which was moved already, with
// wrap-around, and ages every entry by `batch`. One invocation per queue entry, so that each entry is written once.
struct Params { entries: u32, batch: u32, columns: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> projections: array<f32>;
@group(0) @binding(2) var<storage, read> samples: array<i32>;
@group(0) @binding(3) var<storage, read> classes: array<i32>;
@group(0) @binding(4) var<storage, read> pointer: array<u32>;
@group(0) @binding(5) var<storage, read_write> queue: array<f32>;
@group(0) @binding(6) var<storage, read_write> queueSamples: array<i32>;
@group(0) @binding(7) var<storage, read_write> queueClasses: array<i32>;
@group(0) @binding(8) var<storage, read_write> ages: array<i32>;

@compute @workgroup_size(64)
fn queue_insert(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var entry = id.x; entry < params.entries; entry += groups.x * 64u) {
    let start = (pointer[0] % params.entries + params.entries - params.batch) % params.entries; // a batch fits the queue
    let row = (entry + params.entries - start) % params.entries;
    if (row < params.batch) {
      for (var c = 0u; c < params.columns; c++) { queue[entry * params.columns + c] = projections[row * params.columns + c]; }
      queueSamples[entry] = samples[row];
      queueClasses[entry] = classes[row];
      ages[entry] = 0;
    }
    ages[entry] += i32(params.batch);
  }
}
