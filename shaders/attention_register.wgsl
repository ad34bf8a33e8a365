// y = softmax(scale q kT) v per image and head, in one pass over the keys (arXiv 2205.14135, algorithm 1); logSums =
// log of the sums of exponentials, for the gradient. q, k, v are read from the rows [q | k | v] that one linear layer
// gives. Each invocation holds four queries; the keys of a step stand in registers. Needs neither subgroups nor
// workgroup memory.
override keepLogSums: bool = true;
override lanes: u32 = 8u; // invocations per workgroup; they share nothing
const headDim = 64u;
alias Operand = f32;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim again, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read_write> y: array<Operand>;
@group(0) @binding(3) var<storage, read_write> logSums: array<f32>;

const keys = 8u; // per step
const masked = -1e30; // below every score, yet finite: compilers assume that there is no infinity
const slots = max(headDim, 33u); // lavapipe unrolls loops over shorter arrays, which takes seconds to compile

struct Place { firstRow: u32, tokens: u32, firstToken: u32 } // an image in qkv, and the first token of a tile of it

fn placeOf(tile: u32, tileRows: u32) -> Place {
  let passed = select(vec3u(0u), vec3u(1u), vec3u(tile) >= params.firstTile.yzw);
  let segment = passed.x + passed.y + passed.z;
  let tokens = params.tokens[segment];
  let tilesPerImage = (tokens + tileRows - 1u) / tileRows;
  let local = tile - params.firstTile[segment];
  return Place(params.firstRow[segment] + local / tilesPerImage * tokens, tokens, local % tilesPerImage * tileRows);
}

@compute @workgroup_size(lanes)
fn attention_register(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  let tile = group.x;
  if (group.z > 0u) { return; }
  let place = placeOf(tile, 4u * lanes);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * headDim;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let tokenOf = vec4u(place.firstToken + lane) + vec4u(0u, 1u, 2u, 3u) * lanes;
  // Rows and keys past the last token repeat it, so that every load is in bounds.
  let queryAt = (vec4u(place.firstRow) + min(tokenOf, vec4u(last))) * stride + head * headDim;
  let firstKey = place.firstRow * stride + width + head * headDim;
  var sums: array<vec4f, slots>;
  var top = vec4f(masked);
  var total = vec4f();
  for (var j = 0u; j < tokens; j += keys) {
    var score: array<vec4f, keys>;
    for (var t = 0u; t < keys; t++) { score[t] = vec4f(); }
    for (var d = 0u; d < params.depth; d++) {
      let at = queryAt + d;
      let q = params.scale * vec4f(f32(qkv[at.x]), f32(qkv[at.y]), f32(qkv[at.z]), f32(qkv[at.w]));
      for (var t = 0u; t < keys; t++) { score[t] += q * f32(qkv[firstKey + min(j + t, last) * stride + d]); }
    }
    var next = top;
    for (var t = 0u; t < keys; t++) {
      score[t] = select(vec4f(masked), score[t], j + t < tokens);
      next = max(next, score[t]);
    }
    let shrink = exp(top - next);
    top = next;
    total *= shrink;
    for (var t = 0u; t < keys; t++) {
      score[t] = exp(score[t] - top);
      total += score[t];
    }
    for (var d = 0u; d < params.depth; d++) {
      var sum = sums[d] * shrink;
      for (var t = 0u; t < keys; t++) { sum += score[t] * f32(qkv[firstKey + width + min(j + t, last) * stride + d]); }
      sums[d] = sum;
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (tokenOf[r] < tokens) {
      let row = place.firstRow + tokenOf[r];
      for (var d = 0u; d < params.depth; d++) { y[row * width + head * headDim + d] = Operand(sums[d][r] / total[r]); }
      if (keepLogSums) { logSums[row * params.heads + head] = top[r] + log(total[r]); }
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
