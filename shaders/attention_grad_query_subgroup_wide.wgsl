// dq of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B): delta =
// dy.y of each query, dS = p (dy.v - delta), dq = scale dS k. deltas is kept for the gradient of k and v. Lanes hold
// the queries, registers the keys of a step. One load fetches a column of as many keys as there are lanes, and shuffles
// spread it, because a software adapter pays for one load about as much as for twenty multiply-adds; a load takes four
// dimensions, which costs little more than one. headDim is a multiple of 4.
const headDim = 64u;
const lanes = 8u; // every subgroup of the adapter has this size; the workgroup is one subgroup
const blocks = 2u; // subgroups of keys per step
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4 again, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read> y: array<Operand>;
@group(0) @binding(3) var<storage, read> logSums: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Operand>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<Operand>;
@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;

const keys = blocks * lanes;
const rows = 2u * lanes; // queries per tile
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
fn attention_grad_query_subgroup_wide(
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
  let queryAt = rowOf * stride + head * headDim / 4u;
  let resultAt = rowOf * width + head * headDim / 4u;
  let firstKey = place.firstRow * stride + width + head * headDim / 4u;
  let sumAt = rowOf * params.heads + head;
  let logSum = vec2f(logSums[sumAt.x], logSums[sumAt.y]);
  var delta = vec2f();
  for (var d = 0u; d < params.depth; d++) {
    delta.x += dot(vec4f(y[resultAt.x + d]), vec4f(dy[resultAt.x + d]));
    delta.y += dot(vec4f(y[resultAt.y + d]), vec4f(dy[resultAt.y + d]));
  }
  var upperDq: array<vec4f, slots>;
  var lowerDq: array<vec4f, slots>; // of the queries that lie `lanes` below
  for (var j = 0u; j < tokens; j += keys) {
    var keyAt: array<u32, blocks>;
    var score: array<vec2f, keys>;
    var dWeight: array<vec2f, keys>;
    for (var b = 0u; b < blocks; b++) { keyAt[b] = firstKey + min(j + b * lanes + lane, last) * stride; }
    for (var t = 0u; t < keys; t++) { score[t] = vec2f(); dWeight[t] = vec2f(); }
    for (var d = 0u; d < params.depth; d++) {
      let upper = params.scale * vec4f(qkv[queryAt.x + d]);
      let lower = params.scale * vec4f(qkv[queryAt.y + d]);
      let upperSlope = vec4f(dy[resultAt.x + d]);
      let lowerSlope = vec4f(dy[resultAt.y + d]);
      for (var b = 0u; b < blocks; b++) {
        let k = vec4f(qkv[keyAt[b] + d]);
        let v = vec4f(qkv[keyAt[b] + width + d]);
        for (var t = 0u; t < lanes; t++) {
          score[b * lanes + t] = add_dots(upper, lower, subgroupShuffle(k, t), score[b * lanes + t]);
          dWeight[b * lanes + t] = add_dots(upperSlope, lowerSlope, subgroupShuffle(v, t), dWeight[b * lanes + t]);
        }
      }
    }
    for (var t = 0u; t < keys; t++) {
      score[t] = select(vec2f(), exp(score[t] - logSum) * (dWeight[t] - delta), j + t < tokens);
    }
    for (var d = 0u; d < params.depth; d++) {
      var upper = upperDq[d];
      var lower = lowerDq[d];
      for (var b = 0u; b < blocks; b++) {
        let k = vec4f(qkv[keyAt[b] + d]);
        for (var t = 0u; t < lanes; t++) {
          let key = subgroupShuffle(k, t);
          upper = fma(vec4f(score[b * lanes + t].x), key, upper);
          lower = fma(vec4f(score[b * lanes + t].y), key, lower);
        }
      }
      upperDq[d] = upper;
      lowerDq[d] = lower;
    }
  }
  let isRow = tokenOf < vec2u(tokens);
  for (var d = 0u; d < params.depth; d++) {
    if (isRow.x) { dqkv[queryAt.x + d] = Operand(params.scale * upperDq[d]); }
    if (isRow.y) { dqkv[queryAt.y + d] = Operand(params.scale * lowerDq[d]); }
  }
  if (isRow.x) { deltas[sumAt.x] = delta.x; }
  if (isRow.y) { deltas[sumAt.y] = delta.y; }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
