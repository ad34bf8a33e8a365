// y = softmax(scale q kT) v per image and head, in one pass over the keys (arXiv 2205.14135, algorithm 1); logSums =
// log of the sums of exponentials, for the gradient. q, k, v are read from the rows [q | k | v] that one linear layer
// gives. Lanes hold the queries, registers the keys of a step. One load fetches a column of as many keys as there are
// lanes, and shuffles spread it, because a software adapter pays for one load about as much as for twenty multiply-
// adds; a load takes four dimensions, which costs little more than one. headDim is a multiple of 4.
override keepLogSums: bool = true;
const headDim = 64u;
const lanes = 8u; // every subgroup of the adapter has this size; the workgroup is one subgroup
const blocks = 3u; // subgroups of keys per step
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4 again, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read_write> y: array<Operand>;
@group(0) @binding(3) var<storage, read_write> logSums: array<f32>;

const keys = blocks * lanes;
const rows = 2u * lanes; // queries per tile
const masked = -1e30; // below every score, yet finite: compilers assume that there is no infinity
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
fn attention_subgroup_wide(
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
  // Lanes and registers past the last token repeat it, so that every load is in bounds.
  let queryAt = (vec2u(place.firstRow) + min(tokenOf, vec2u(last))) * stride + head * headDim / 4u;
  let firstKey = place.firstRow * stride + width + head * headDim / 4u;
  var upperSums: array<vec4f, slots>;
  var lowerSums: array<vec4f, slots>; // of the queries that lie `lanes` below
  var top = vec2f(masked);
  var total = vec2f();
  for (var j = 0u; j < tokens; j += keys) {
    var keyAt: array<u32, blocks>;
    var score: array<vec2f, keys>;
    for (var b = 0u; b < blocks; b++) { keyAt[b] = firstKey + min(j + b * lanes + lane, last) * stride; }
    for (var t = 0u; t < keys; t++) { score[t] = vec2f(); }
    for (var d = 0u; d < params.depth; d++) {
      let upper = params.scale * vec4f(qkv[queryAt.x + d]);
      let lower = params.scale * vec4f(qkv[queryAt.y + d]);
      for (var b = 0u; b < blocks; b++) {
        let k = vec4f(qkv[keyAt[b] + d]);
        for (var t = 0u; t < lanes; t++) {
          score[b * lanes + t] = add_dots(upper, lower, subgroupShuffle(k, t), score[b * lanes + t]);
        }
      }
    }
    var next = top;
    for (var t = 0u; t < keys; t++) {
      score[t] = select(vec2f(masked), score[t], j + t < tokens);
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
      var upper = upperSums[d] * shrink.x;
      var lower = lowerSums[d] * shrink.y;
      for (var b = 0u; b < blocks; b++) {
        let v = vec4f(qkv[keyAt[b] + width + d]);
        for (var t = 0u; t < lanes; t++) {
          let value = subgroupShuffle(v, t);
          upper = fma(vec4f(score[b * lanes + t].x), value, upper);
          lower = fma(vec4f(score[b * lanes + t].y), value, lower);
        }
      }
      upperSums[d] = upper;
      lowerSums[d] = lower;
    }
  }
  let rowOf = vec2u(place.firstRow) + tokenOf;
  let isRow = tokenOf < vec2u(tokens);
  for (var d = 0u; d < params.depth; d++) {
    if (isRow.x) { y[rowOf.x * width + head * headDim / 4u + d] = Operand(upperSums[d] / total.x); }
    if (isRow.y) { y[rowOf.y * width + head * headDim / 4u + d] = Operand(lowerSums[d] / total.y); }
  }
  let logSum = top + log(total);
  if (keepLogSums && isRow.x) { logSums[rowOf.x * params.heads + head] = logSum.x; }
  if (keepLogSums && isRow.y) { logSums[rowOf.y * params.heads + head] = logSum.y; }
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
