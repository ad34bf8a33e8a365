// dk and dv of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B):
// dv = pT dy, dS = p (dy.v - delta), dk = scale dST q. A tile of keys sees all queries, so that nothing is added
// atomically. Each invocation holds four keys; the queries of a step stand in registers. Needs neither subgroups nor
// workgroup memory.
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
@group(0) @binding(2) var<storage, read> logSums: array<f32>;
@group(0) @binding(3) var<storage, read> deltas: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Operand>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<Operand>;

const queries = 8u; // per step
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
fn attention_grad_key_register(
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
  let keyAt = rowOf * stride + width + head * headDim;
  var dk: array<vec4f, slots>;
  var dv: array<vec4f, slots>;
  for (var i = 0u; i < tokens; i += queries) {
    var weight: array<vec4f, queries>;
    var dScore: array<vec4f, queries>;
    for (var t = 0u; t < queries; t++) { weight[t] = vec4f(); dScore[t] = vec4f(); }
    for (var d = 0u; d < params.depth; d++) {
      let at = keyAt + d;
      let vAt = at + width;
      let k = params.scale * vec4f(f32(qkv[at.x]), f32(qkv[at.y]), f32(qkv[at.z]), f32(qkv[at.w]));
      let v = vec4f(f32(qkv[vAt.x]), f32(qkv[vAt.y]), f32(qkv[vAt.z]), f32(qkv[vAt.w]));
      for (var t = 0u; t < queries; t++) {
        let row = place.firstRow + min(i + t, last);
        weight[t] += k * f32(qkv[row * stride + head * headDim + d]);
        dScore[t] += v * f32(dy[row * width + head * headDim + d]);
      }
    }
    for (var t = 0u; t < queries; t++) {
      let at = (place.firstRow + min(i + t, last)) * params.heads + head;
      let p = select(vec4f(), exp(weight[t] - logSums[at]), i + t < tokens);
      weight[t] = p;
      dScore[t] = p * (dScore[t] - deltas[at]);
    }
    for (var d = 0u; d < params.depth; d++) {
      var sumK = dk[d];
      var sumV = dv[d];
      for (var t = 0u; t < queries; t++) {
        let row = place.firstRow + min(i + t, last);
        sumK += dScore[t] * f32(qkv[row * stride + head * headDim + d]);
        sumV += weight[t] * f32(dy[row * width + head * headDim + d]);
      }
      dk[d] = sumK;
      dv[d] = sumV;
    }
  }
  for (var r = 0u; r < 4u; r++) {
    if (tokenOf[r] < tokens) {
      for (var d = 0u; d < params.depth; d++) {
        dqkv[keyAt[r] + d] = Operand(params.scale * dk[d][r]);
        dqkv[keyAt[r] + width + d] = Operand(dv[d][r]);
      }
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
