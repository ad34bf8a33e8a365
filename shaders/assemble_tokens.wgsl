// y[b, t, :] = classTokens[t, :] for the first tokens, patches[b, t - classCount, :] + positions[t - classCount, :] for the others.
// Each invocation serves one column of one token in several images, so that positions are loaded once and indices split rarely.
alias Element = f32; // in memory: f32, f16, or a vec4 of it
alias Parameter = f32; // positions and class tokens in memory
alias Wide = f32; // in sums: f32 or vec4f
override withPositions: bool = true;
struct Params {
  images: u32,
  imagesPerRun: u32,
  runs: u32, // over all images
  patchCount: u32,
  classCount: u32,
  columns: u32, // Elements per token
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> patches: array<Element>;
@group(0) @binding(2) var<storage, read> positions: array<Parameter>;
@group(0) @binding(3) var<storage, read> classTokens: array<Parameter>;
@group(0) @binding(4) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(64)
fn assemble_tokens(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let classSize = params.classCount * params.columns;
  let patchSize = params.patchCount * params.columns;
  let imageSize = classSize + patchSize;
  for (var i = id.x; i < imageSize * params.runs; i += groups.x * 64u) {
    let run = i / imageSize;
    let place = i - run * imageSize;
    let first = run * params.imagesPerRun;
    let end = min(first + params.imagesPerRun, params.images);
    if (place < classSize) {
      let token = Element(classTokens[place]);
      for (var b = first; b < end; b++) { y[b * imageSize + place] = token; }
    } else {
      let patchPlace = place - classSize;
      var position = Wide();
      if (withPositions) { position = Wide(positions[patchPlace]); }
      for (var b = first; b < end; b++) {
        y[b * imageSize + place] = Element(Wide(patches[b * patchSize + patchPlace]) + position);
      }
    }
  }
}
