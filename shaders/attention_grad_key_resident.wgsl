// dk and dv of attention as in attention_grad_key_shared, for head dimensions that are multiples of 4. 64 invocations keep 32 keys and
// their values in workgroup memory for all tiles of 32 queries; each computes four rows by four columns, and four rows by one to four
// vectors of both results, in named registers. Operands stay in memory as they came, sums are f32. For GPUs: loads are of four numbers.
const headDim = 64u;
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read> logSums: array<f32>;
@group(0) @binding(3) var<storage, read> deltas: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<Operand>;
@group(0) @binding(5) var<storage, read_write> dqkv: array<Operand>;

const invocations = 64u;
const side = 32u; // rows and columns of a tile
const fours = side / 4u;
const depth = headDim / 4u; // vectors of four dimensions
// Neighbouring invocations read neighbouring rows at one depth; so that these lie in different memory banks, the row chooses the order of
// each eight vectors, or the rows have an odd length where eight do not divide it.
const swizzle = select(0u, 7u, depth % 8u == 0u);
const pitch = select(depth | 1u, depth, depth % 8u == 0u);
var<workgroup> keys: array<Operand, side * pitch>; // [key][depth]
var<workgroup> values: array<Operand, side * pitch>; // [key][depth]
var<workgroup> stage: array<Operand, side * pitch>; // [query][depth] of dy, then of q, then of dy
var<workgroup> weights: array<vec4f, side * fours>; // dS, then p, [query][four keys]
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
fn attention_grad_key_resident(
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
  let four = lane / 8u; // of the groups of four keys
  let column = lane % 8u; // and column + 8, + 16, + 24 of the queries and of the vectors of the results
  // Rows past the last token repeat it, so that every load is in bounds.
  for (var e = lane; e < side * depth; e += invocations) {
    let row = e / depth;
    let at = e % depth;
    let origin = firstKey + min(place.firstToken + row, last) * stride + at;
    let to = row * pitch + (at ^ ((row / 4u) & swizzle));
    keys[to] = qkv[origin];
    values[to] = qkv[origin + width];
  }
  var dk = Sums();
  var dv = Sums();
  let atKey = 4u * four * pitch;
  let atQuery = column * pitch;
  for (var i = 0u; i < tokens; i += side) {
    workgroupBarrier();
    for (var e = lane; e < side * depth; e += invocations) {
      stage[staged(e)] = dy[firstResult + min(i + e / depth, last) * width + e % depth];
    }
    workgroupBarrier();
    var dWeight = mat4x4f(); // a vector of each key: of the four queries
    for (var d = 0u; d < params.depth; d++) {
      let q = atQuery + (d ^ (column & swizzle));
      let v = atKey + (d ^ (four & swizzle));
      let slopes = mat4x4f(
        vec4f(stage[q]), vec4f(stage[q + 8u * pitch]), vec4f(stage[q + 16u * pitch]), vec4f(stage[q + 24u * pitch]),
      );
      let rows = mat4x4f(
        vec4f(values[v]), vec4f(values[v + pitch]), vec4f(values[v + 2u * pitch]), vec4f(values[v + 3u * pitch]),
      );
      dWeight = add_four_dots(rows, slopes, dWeight);
    }
    workgroupBarrier();
    for (var e = lane; e < side * depth; e += invocations) {
      stage[staged(e)] = qkv[firstQuery + min(i + e / depth, last) * stride + e % depth];
    }
    workgroupBarrier();
    var score = mat4x4f();
    for (var d = 0u; d < params.depth; d++) {
      let q = atQuery + (d ^ (column & swizzle));
      let k = atKey + (d ^ (four & swizzle));
      let queries = mat4x4f(
        vec4f(stage[q]), vec4f(stage[q + 8u * pitch]), vec4f(stage[q + 16u * pitch]), vec4f(stage[q + 24u * pitch]),
      );
      let rows = mat4x4f(
        vec4f(keys[k]), vec4f(keys[k + pitch]), vec4f(keys[k + 2u * pitch]), vec4f(keys[k + 3u * pitch]),
      );
      score = add_four_dots(rows, queries, score);
    }
    let query = vec4u(i + column) + vec4u(0u, 8u, 16u, 24u);
    let isQuery = query < vec4u(tokens);
    let at = (vec4u(place.firstRow) + min(query, vec4u(last))) * params.heads + head;
    let logSum = vec4f(logSums[at.x], logSums[at.y], logSums[at.z], logSums[at.w]);
    let delta = vec4f(deltas[at.x], deltas[at.y], deltas[at.z], deltas[at.w]);
    let p = mat4x4f(
      select(vec4f(), exp(params.scale * score[0] - logSum), isQuery),
      select(vec4f(), exp(params.scale * score[1] - logSum), isQuery),
      select(vec4f(), exp(params.scale * score[2] - logSum), isQuery),
      select(vec4f(), exp(params.scale * score[3] - logSum), isQuery),
    );
    keep_weights(four, column, transpose(mat4x4f(
      p[0] * (dWeight[0] - delta), p[1] * (dWeight[1] - delta), p[2] * (dWeight[2] - delta), p[3] * (dWeight[3] - delta),
    )));
    workgroupBarrier();
    dk = add_tile(dk, four, column, min(side, tokens - i));
    workgroupBarrier();
    for (var e = lane; e < side * depth; e += invocations) {
      stage[staged(e)] = dy[firstResult + min(i + e / depth, last) * width + e % depth];
    }
    keep_weights(four, column, transpose(p));
    workgroupBarrier();
    dv = add_tile(dv, four, column, min(side, tokens - i));
  }
  let token = vec4u(place.firstToken + 4u * four) + vec4u(0u, 1u, 2u, 3u);
  let isToken = token < vec4u(tokens);
  let to = firstKey + token * stride + column;
  let hasFirst = isToken & vec4<bool>(column < depth);
  write_gradients(dk.first, params.scale, to, hasFirst);
  write_gradients(dv.first, 1.0, to + width, hasFirst);
  let hasSecond = isToken & vec4<bool>(column + 8u < depth);
  write_gradients(dk.second, params.scale, to + 8u, hasSecond);
  write_gradients(dv.second, 1.0, to + width + 8u, hasSecond);
  let hasThird = isToken & vec4<bool>(column + 16u < depth);
  write_gradients(dk.third, params.scale, to + 16u, hasThird);
  write_gradients(dv.third, 1.0, to + width + 16u, hasThird);
  let hasFourth = isToken & vec4<bool>(column + 24u < depth);
  write_gradients(dk.fourth, params.scale, to + 24u, hasFourth);
  write_gradients(dv.fourth, 1.0, to + width + 24u, hasFourth);
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
