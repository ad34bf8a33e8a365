// dk and dv of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B):
// dv = pT dy, dS = p (dy.v - delta), dk = scale dST q. A tile of keys sees all queries, so that nothing is added
// atomically. Lanes hold the keys, registers the queries of a step. One load fetches a column of as many queries as
// there are lanes, and shuffles spread it, because a software adapter pays for one load about as much as for twenty
// multiply-adds; a load takes four dimensions, which costs little more than one. headDim is a multiple of 4.
const headDim = 64u;
const lanes = 8u; // every subgroup of the adapter has this size; the workgroup is one subgroup
const blocks = 2u; // subgroups of queries per step
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4 again, unknown to the compiler, which would unroll loops over it at a high price
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
const slots = max(headDim / 4u, 33u); // lavapipe unrolls loops over shorter arrays, which takes seconds to compile

struct Place { firstRow: u32, tokens: u32, firstToken: u32 } // an image in qkv, and the first token of a tile of it

fn placeOf(tile: u32, tileRows: u32) -> Place {
  let passed = select(vec3u(0u), vec3u(1u), vec3u(tile) >= params.firstTile.yzw);
  let segment = passed.x + passed.y + passed.z;
  let tokens = params.tokens[segment];
  let tilesPerImage = (tokens + tileRows - 1u) / tileRows;
  let local = tile - params.firstTile[segment];
  return Place(params.firstRow[segment] + local / tilesPerImage * tokens, tokens, local % tilesPerImage * tileRows);
}

// The products of four dimensions of two rows with one, added to what there is.
fn add_dots(upper: vec4f, lower: vec4f, other: vec4f, sum: vec2f) -> vec2f {
  let first = fma(vec2f(upper.x, lower.x), vec2f(other.x), sum);
  let second = fma(vec2f(upper.y, lower.y), vec2f(other.y), first);
  return fma(vec2f(upper.w, lower.w), vec2f(other.w), fma(vec2f(upper.z, lower.z), vec2f(other.z), second));
}

@compute @workgroup_size(lanes)
fn attention_grad_key_subgroup_wide(
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
  let width = params.heads * headDim / 4u;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads, four numbers each
  let tokenOf = vec2u(place.firstToken + lane) + vec2u(0u, lanes);
  let rowOf = vec2u(place.firstRow) + min(tokenOf, vec2u(last)); // past the end the last token: in bounds
  let keyAt = rowOf * stride + width + head * headDim / 4u;
  let valueAt = keyAt + width;
  var upperDk: array<vec4f, slots>;
  var lowerDk: array<vec4f, slots>; // of the keys that lie `lanes` below
  var upperDv: array<vec4f, slots>;
  var lowerDv: array<vec4f, slots>;
  for (var i = 0u; i < tokens; i += queries) {
    var rowAt: array<u32, blocks>;
    var weight: array<vec2f, queries>;
    var dScore: array<vec2f, queries>;
    for (var b = 0u; b < blocks; b++) { rowAt[b] = place.firstRow + min(i + b * lanes + lane, last); }
    for (var t = 0u; t < queries; t++) { weight[t] = vec2f(); dScore[t] = vec2f(); }
    for (var d = 0u; d < params.depth; d++) {
      let upperKey = params.scale * vec4f(qkv[keyAt.x + d]);
      let lowerKey = params.scale * vec4f(qkv[keyAt.y + d]);
      let upperValue = vec4f(qkv[valueAt.x + d]);
      let lowerValue = vec4f(qkv[valueAt.y + d]);
      for (var b = 0u; b < blocks; b++) {
        let q = vec4f(qkv[rowAt[b] * stride + head * headDim / 4u + d]);
        let slope = vec4f(dy[rowAt[b] * width + head * headDim / 4u + d]);
        for (var t = 0u; t < lanes; t++) {
          weight[b * lanes + t] = add_dots(upperKey, lowerKey, subgroupShuffle(q, t), weight[b * lanes + t]);
          dScore[b * lanes + t] = add_dots(upperValue, lowerValue, subgroupShuffle(slope, t), dScore[b * lanes + t]);
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
      var upperKey = upperDk[d];
      var lowerKey = lowerDk[d];
      var upperValue = upperDv[d];
      var lowerValue = lowerDv[d];
      for (var b = 0u; b < blocks; b++) {
        let q = vec4f(qkv[rowAt[b] * stride + head * headDim / 4u + d]);
        let slope = vec4f(dy[rowAt[b] * width + head * headDim / 4u + d]);
        for (var t = 0u; t < lanes; t++) {
          let query = subgroupShuffle(q, t);
          let given = subgroupShuffle(slope, t);
          upperKey = fma(vec4f(dScore[b * lanes + t].x), query, upperKey);
          lowerKey = fma(vec4f(dScore[b * lanes + t].y), query, lowerKey);
          upperValue = fma(vec4f(weight[b * lanes + t].x), given, upperValue);
          lowerValue = fma(vec4f(weight[b * lanes + t].y), given, lowerValue);
        }
      }
      upperDk[d] = upperKey;
      lowerDk[d] = lowerKey;
      upperDv[d] = upperValue;
      lowerDv[d] = lowerValue;
    }
  }
  let isRow = tokenOf < vec2u(tokens);
  for (var d = 0u; d < params.depth; d++) {
    if (isRow.x) { dqkv[keyAt.x + d] = Operand(params.scale * upperDk[d]); dqkv[valueAt.x + d] = Operand(upperDv[d]); }
    if (isRow.y) { dqkv[keyAt.y + d] = Operand(params.scale * lowerDk[d]); dqkv[valueAt.y + d] = Operand(lowerDv[d]); }
  }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
