// dk and dv of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B):
// dv = pT dy, dS = p (dy.v - delta), dk = scale dST q. A tile of keys sees all queries, so that nothing is added
// atomically. Lanes hold the keys, registers the queries of a step. One load fetches a column of as many queries as
// there are lanes, and shuffles spread it, because a software adapter pays for one load about as much as for twenty
// multiply-adds.
const headDim = 64u;
const lanes = 8u; // every subgroup of the adapter has this size; the workgroup is one subgroup
const blocks = 2u; // subgroups of queries per step
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

const queries = blocks * lanes;
const rows = 2u * lanes; // keys per tile
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
fn attention_grad_key_subgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  let tile = group.x;
  if (group.z > 0u) { return; }
  let place = placeOf(tile, rows);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * headDim;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let tokenOf = vec2u(place.firstToken + lane) + vec2u(0u, lanes);
  let rowOf = vec2u(place.firstRow) + min(tokenOf, vec2u(last)); // past the end the last token: in bounds
  let keyAt = rowOf * stride + width + head * headDim;
  let valueAt = keyAt + width;
  var dk: array<vec2f, slots>;
  var dv: array<vec2f, slots>;
  for (var i = 0u; i < tokens; i += queries) {
    var rowAt: array<u32, blocks>;
    var weight: array<vec2f, queries>;
    var dScore: array<vec2f, queries>;
    for (var b = 0u; b < blocks; b++) { rowAt[b] = place.firstRow + min(i + b * lanes + lane, last); }
    for (var t = 0u; t < queries; t++) { weight[t] = vec2f(); dScore[t] = vec2f(); }
    for (var d = 0u; d < params.depth; d++) {
      let k = params.scale * vec2f(f32(qkv[keyAt.x + d]), f32(qkv[keyAt.y + d]));
      let v = vec2f(f32(qkv[valueAt.x + d]), f32(qkv[valueAt.y + d]));
      for (var b = 0u; b < blocks; b++) {
        let q = f32(qkv[rowAt[b] * stride + head * headDim + d]);
        let slope = f32(dy[rowAt[b] * width + head * headDim + d]);
        for (var t = 0u; t < lanes; t++) {
          weight[b * lanes + t] += k * subgroupShuffle(q, t);
          dScore[b * lanes + t] += v * subgroupShuffle(slope, t);
        }
      }
    }
    for (var b = 0u; b < blocks; b++) {
      let logSum = logSums[rowAt[b] * params.heads + head];
      let delta = deltas[rowAt[b] * params.heads + head];
      for (var t = 0u; t < lanes; t++) {
        let at = b * lanes + t;
        let p = select(vec2f(), exp(weight[at] - subgroupShuffle(logSum, t)), i + at < tokens);
        weight[at] = p;
        dScore[at] = p * (dScore[at] - subgroupShuffle(delta, t));
      }
    }
    for (var d = 0u; d < params.depth; d++) {
      var sumK = dk[d];
      var sumV = dv[d];
      for (var b = 0u; b < blocks; b++) {
        let q = f32(qkv[rowAt[b] * stride + head * headDim + d]);
        let slope = f32(dy[rowAt[b] * width + head * headDim + d]);
        for (var t = 0u; t < lanes; t++) {
          sumK += dScore[b * lanes + t] * subgroupShuffle(q, t);
          sumV += weight[b * lanes + t] * subgroupShuffle(slope, t);
        }
      }
      dk[d] = sumK;
      dv[d] = sumV;
    }
  }
  let isRow = tokenOf < vec2u(tokens);
  for (var d = 0u; d < params.depth; d++) {
    let dKey = params.scale * dk[d];
    if (isRow.x) { dqkv[keyAt.x + d] = Operand(dKey.x); dqkv[valueAt.x + d] = Operand(dv[d].x); }
    if (isRow.y) { dqkv[keyAt.y + d] = Operand(dKey.y); dqkv[valueAt.y + d] = Operand(dv[d].y); }
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
