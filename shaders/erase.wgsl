// Boxes of images are replaced by noise: random erasing (arXiv 1708.04896).
struct Params { firstRow: u32, channels: u32, height: u32, width: u32, count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> erasures: array<vec4u>; // per image: top, left, height, width; two more rows for the noise
@group(0) @binding(2) var<storage, read> images: array<f32>; // [images, channels, height, width]
@group(0) @binding(3) var<storage, read> noise: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn is_erased(box: vec4u, row: u32, column: u32) -> bool {
  return row - box.x < box.z && column - box.y < box.w; // below the box, differences wrap to large numbers
}

@compute @workgroup_size(64)
fn erase(@builtin(global_invocation_id) thread: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let plane = params.height * params.width;
  for (var i = thread.x; i < params.count; i += 64u * groups.x) {
    let box = erasures[3u * (params.firstRow + i / (params.channels * plane))];
    if (is_erased(box, i % plane / params.width, i % params.width)) { y[i] = noise[i]; } else { y[i] = images[i]; }
  }
}
