// dq of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B): delta =
// dy.y of each query, dS = p (dy.v - delta), dq = scale dS k. deltas is kept for the gradient of k and v. Each
// invocation holds four queries; the keys of a step stand in registers. Needs neither subgroups nor workgroup memory.
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
@group(0) @binding(2) var<storage, read> y: array<Operand>;
@group(0) @binding(3) var<storage, read> logSums: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Operand>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<Operand>;
@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;

const keys = 8u; // per step
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
fn attention_grad_query_register(
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
  let rowOf = vec4u(place.firstRow) + min(tokenOf, vec4u(last)); // past the end the last token: in bounds
  let queryAt = rowOf * stride + head * headDim;
  let resultAt = rowOf * width + head * headDim;
  let firstKey = place.firstRow * stride + width + head * headDim;
  var logSum = vec4f();
  var delta = vec4f();
  for (var r = 0u; r < 4u; r++) {
    logSum[r] = logSums[rowOf[r] * params.heads + head];
    var sum = 0.0;
    for (var d = 0u; d < params.depth; d++) { sum += f32(y[resultAt[r] + d]) * f32(dy[resultAt[r] + d]); }
    delta[r] = sum;
  }
  var dq: array<vec4f, slots>;
  for (var j = 0u; j < tokens; j += keys) {
    var score: array<vec4f, keys>;
    var dWeight: array<vec4f, keys>;
    for (var t = 0u; t < keys; t++) { score[t] = vec4f(); dWeight[t] = vec4f(); }
    for (var d = 0u; d < params.depth; d++) {
      let at = queryAt + d;
      let slopeAt = resultAt + d;
      let q = params.scale * vec4f(f32(qkv[at.x]), f32(qkv[at.y]), f32(qkv[at.z]), f32(qkv[at.w]));
      let slope = vec4f(f32(dy[slopeAt.x]), f32(dy[slopeAt.y]), f32(dy[slopeAt.z]), f32(dy[slopeAt.w]));
      for (var t = 0u; t < keys; t++) {
        let key = firstKey + min(j + t, last) * stride + d;
        score[t] += q * f32(qkv[key]);
        dWeight[t] += slope * f32(qkv[key + width]);
      }
    }
    for (var t = 0u; t < keys; t++) {
      score[t] = select(vec4f(), exp(score[t] - logSum) * (dWeight[t] - delta), j + t < tokens);
    }
    for (var d = 0u; d < params.depth; d++) {
      var sum = dq[d];
      for (var t = 0u; t < keys; t++) { sum += score[t] * f32(qkv[firstKey + min(j + t, last) * stride + d]); }
      dq[d] = sum;
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (tokenOf[r] < tokens) {
      for (var d = 0u; d < params.depth; d++) { dqkv[queryAt[r] + d] = Operand(params.scale * dq[d][r]); }
      deltas[rowOf[r] * params.heads + head] = delta[r];
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
