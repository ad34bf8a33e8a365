// dq of attention as in attention_grad_query_shared, for head dimensions that are multiples of 4. 64 invocations keep 32 queries and
// their dy in workgroup memory for all tiles of 32 keys; each computes four rows by four columns, and four rows by one to four vectors
// of the result, in named registers. Operands stay in memory as they came, sums are f32. For GPUs: every load is of four numbers.
const headDim = 64u;
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read> y: array<Operand>;
@group(0) @binding(3) var<storage, read> logSums: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Operand>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<Operand>;
@group(0) @binding(6) var<storage, read_write> deltas: array<f32>;

const invocations = 64u;
const side = 32u; // rows and columns of a tile
const fours = side / 4u;
const depth = headDim / 4u; // vectors of four dimensions
// Neighbouring invocations read neighbouring rows at one depth; so that these lie in different memory banks, the row chooses the order of
// each eight vectors, or the rows have an odd length where eight do not divide it.
const swizzle = select(0u, 7u, depth % 8u == 0u);
const pitch = select(depth | 1u, depth, depth % 8u == 0u);
var<workgroup> queries: array<Operand, side * pitch>; // [query][depth]
var<workgroup> slopes: array<Operand, side * pitch>; // [query][depth] of dy
var<workgroup> stage: array<Operand, side * pitch>; // [key][depth] of v, then of k
var<workgroup> weights: array<vec4f, side * fours>; // dS, [key][four queries]; before that [invocation][four queries]
struct Sums { first: mat4x4f, second: mat4x4f, third: mat4x4f, fourth: mat4x4f } // four rows of vectors column, + 8, + 16, + 24
struct Place { firstRow: u32, tokens: u32, firstToken: u32 } // an image in qkv, and the first token of a tile of it

fn placeOf(tile: u32, tileRows: u32) -> Place {
  let passed = select(vec3u(0u), vec3u(1u), vec3u(tile) >= params.firstTile.yzw);
  let segment = passed.x + passed.y + passed.z;
  let tokens = params.tokens[segment];
  let tilesPerImage = (tokens + tileRows - 1u) / tileRows;
  let local = tile - params.firstTile[segment];
  return Place(params.firstRow[segment] + local / tilesPerImage * tokens, tokens, local % tilesPerImage * tileRows);
}

@compute @workgroup_size(invocations)
fn attention_grad_query_resident(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  if (group.z > 0u) { return; }
  let place = placeOf(group.x, side);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * depth;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let firstQuery = place.firstRow * stride + head * depth;
  let firstKey = firstQuery + width;
  let firstResult = place.firstRow * width + head * depth;
  let four = lane / 8u; // of the groups of four queries
  let column = lane % 8u; // and column + 8, + 16, + 24 of the keys and of the vectors of the result
  // Rows past the last token repeat it, so that every load is in bounds.
  for (var e = lane; e < side * depth; e += invocations) {
    let row = e / depth;
    let at = e % depth;
    let token = min(place.firstToken + row, last);
    let to = row * pitch + (at ^ ((row / 4u) & swizzle));
    queries[to] = qkv[firstQuery + token * stride + at];
    slopes[to] = dy[firstResult + token * width + at];
  }
  let token = vec4u(place.firstToken + 4u * four) + vec4u(0u, 1u, 2u, 3u);
  let at = firstResult + min(token, vec4u(last)) * width;
  var part = vec4f();
  for (var d = column; d < params.depth; d += 8u) {
    part.x += dot(vec4f(y[at.x + d]), vec4f(dy[at.x + d]));
    part.y += dot(vec4f(y[at.y + d]), vec4f(dy[at.y + d]));
    part.z += dot(vec4f(y[at.z + d]), vec4f(dy[at.z + d]));
    part.w += dot(vec4f(y[at.w + d]), vec4f(dy[at.w + d]));
  }
  weights[fours * column + four] = part;
  workgroupBarrier();
  var delta = vec4f();
  for (var i = 0u; i < 8u; i++) { delta += weights[fours * i + four]; }
  let atSum = (vec4u(place.firstRow) + min(token, vec4u(last))) * params.heads + head;
  let logSum = vec4f(logSums[atSum.x], logSums[atSum.y], logSums[atSum.z], logSums[atSum.w]);
  var dq = Sums();
  let atQuery = 4u * four * pitch;
  let atKey = column * pitch;
  for (var j = 0u; j < tokens; j += side) {
    workgroupBarrier();
    for (var e = lane; e < side * depth; e += invocations) {
      stage[staged(e)] = qkv[firstKey + width + min(j + e / depth, last) * stride + e % depth];
    }
    workgroupBarrier();
    var dWeight = mat4x4f(); // a vector of each query: of the four keys
    for (var d = 0u; d < params.depth; d++) {
      let v = atKey + (d ^ (column & swizzle));
      let q = atQuery + (d ^ (four & swizzle));
      let values = mat4x4f(
        vec4f(stage[v]), vec4f(stage[v + 8u * pitch]), vec4f(stage[v + 16u * pitch]), vec4f(stage[v + 24u * pitch]),
      );
      let rows = mat4x4f(
        vec4f(slopes[q]), vec4f(slopes[q + pitch]), vec4f(slopes[q + 2u * pitch]), vec4f(slopes[q + 3u * pitch]),
      );
      dWeight = add_four_dots(rows, values, dWeight);
    }
    workgroupBarrier();
    for (var e = lane; e < side * depth; e += invocations) {
      stage[staged(e)] = qkv[firstKey + min(j + e / depth, last) * stride + e % depth];
    }
    workgroupBarrier();
    var score = mat4x4f();
    for (var d = 0u; d < params.depth; d++) {
      let k = atKey + (d ^ (column & swizzle));
      let q = atQuery + (d ^ (four & swizzle));
      let keys = mat4x4f(
        vec4f(stage[k]), vec4f(stage[k + 8u * pitch]), vec4f(stage[k + 16u * pitch]), vec4f(stage[k + 24u * pitch]),
      );
      let rows = mat4x4f(
        vec4f(queries[q]), vec4f(queries[q + pitch]), vec4f(queries[q + 2u * pitch]), vec4f(queries[q + 3u * pitch]),
      );
      score = add_four_dots(rows, keys, score);
    }
    let isKey = vec4u(j + column) + vec4u(0u, 8u, 16u, 24u) < vec4u(tokens);
    keep_weights(four, column, transpose(mat4x4f(
      select(vec4f(), exp(params.scale * score[0] - logSum.x) * (dWeight[0] - delta.x), isKey),
      select(vec4f(), exp(params.scale * score[1] - logSum.y) * (dWeight[1] - delta.y), isKey),
      select(vec4f(), exp(params.scale * score[2] - logSum.z) * (dWeight[2] - delta.z), isKey),
      select(vec4f(), exp(params.scale * score[3] - logSum.w) * (dWeight[3] - delta.w), isKey),
    )));
    workgroupBarrier();
    dq = add_tile(dq, four, column, min(side, tokens - j));
  }
  let isToken = token < vec4u(tokens);
  let to = firstQuery + token * stride + column;
  write_gradients(dq.first, params.scale, to, isToken & vec4<bool>(column < depth));
  write_gradients(dq.second, params.scale, to + 8u, isToken & vec4<bool>(column + 8u < depth));
  write_gradients(dq.third, params.scale, to + 16u, isToken & vec4<bool>(column + 16u < depth));
  write_gradients(dq.fourth, params.scale, to + 24u, isToken & vec4<bool>(column + 24u < depth));
  if (column == 0u) {
    for (var i = 0u; i < 4u; i++) {
      if (isToken[i]) { deltas[(place.firstRow + token[i]) * params.heads + head] = delta[i]; }
    }
  }
}

fn write_gradients(rows: mat4x4f, factor: f32, at: vec4u, isThere: vec4<bool>) {
  if (isThere.x) { dqkv[at.x] = Operand(factor * rows[0]); }
  if (isThere.y) { dqkv[at.y] = Operand(factor * rows[1]); }
  if (isThere.z) { dqkv[at.z] = Operand(factor * rows[2]); }
  if (isThere.w) { dqkv[at.w] = Operand(factor * rows[3]); }
}

// Where the tile in `stage` keeps element e of its rows.
fn staged(e: u32) -> u32 {
  let row = e / depth;
  return row * pitch + ((e % depth) ^ (row & swizzle));
}

// Four dimensions of four rows times four others, added to what there is: vector r holds the products of row r.
fn add_four_dots(rows: mat4x4f, others: mat4x4f, sums: mat4x4f) -> mat4x4f {
  let across = transpose(others);
  return mat4x4f(
    add_products(rows[0], across, sums[0]), add_products(rows[1], across, sums[1]),
    add_products(rows[2], across, sums[2]), add_products(rows[3], across, sums[3]),
  );
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

// Weights of the staged rows column, + 8, + 16, + 24, each for four results; the row turns the order, for the sake of the memory banks.
fn keep_weights(four: u32, column: u32, values: mat4x4f) {
  let to = fours * column + (four ^ column);
  weights[to] = values[0];
  weights[to + 8u * fours] = values[1];
  weights[to + 16u * fours] = values[2];
  weights[to + 24u * fours] = values[3];
}

// The weighted sum of the staged rows, for four results and up to four vectors of each.
fn add_tile(before: Sums, four: u32, column: u32, count: u32) -> Sums {
  let vectors = min(vec4u(column) + vec4u(0u, 8u, 16u, 24u), vec4u(depth - 1u));
  var sums = before;
  for (var t = 0u; t < count; t++) {
    let weight = weights[fours * t + (four ^ (t & 7u))];
    let at = vectors ^ vec4u(t & swizzle);
    sums.first = add_outer(weight, vec4f(stage[t * pitch + at.x]), sums.first);
    if (depth > 8u) { sums.second = add_outer(weight, vec4f(stage[t * pitch + at.y]), sums.second); }
    if (depth > 16u) { sums.third = add_outer(weight, vec4f(stage[t * pitch + at.z]), sums.third); }
    if (depth > 24u) { sums.fourth = add_outer(weight, vec4f(stage[t * pitch + at.w]), sums.fourth); }
  }
  return sums;
}

fn add_outer(weights: vec4f, row: vec4f, sums: mat4x4f) -> mat4x4f {
  return mat4x4f(
    fma(vec4f(weights.x), row, sums[0]), fma(vec4f(weights.y), row, sums[1]),
    fma(vec4f(weights.z), row, sums[2]), fma(vec4f(weights.w), row, sums[3]),
  );
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
