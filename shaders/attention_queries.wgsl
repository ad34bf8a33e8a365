// y = softmax(scale q kT) v as in attention_shared, for head dimensions that are multiples of 4. 128 invocations keep 64 queries in
// workgroup memory for all tiles of 32 keys; each computes four rows by four columns, and four rows by one to four vectors of the
// result, in named registers. Operands stay in memory as they came, sums are f32. For GPUs: every load is of four numbers.
override keepLogSums: bool = true;
const headDim = 64u;
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4, unknown to the compiler, which would unroll loops over it at a high price
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read_write> y: array<Operand>;
@group(0) @binding(3) var<storage, read_write> logSums: array<f32>;

const invocations = 128u;
const queryRows = 64u;
const keyRows = 32u;
const fours = queryRows / 4u;
const depth = headDim / 4u; // vectors of four dimensions
// Neighbouring invocations read neighbouring rows at one depth; so that these lie in different memory banks, the row chooses the order of
// each eight vectors, or the rows have an odd length where eight do not divide it.
const swizzle = select(0u, 7u, depth % 8u == 0u);
const pitch = select(depth | 1u, depth, depth % 8u == 0u);
const masked = -1e30; // below every score, yet finite: compilers assume that there is no infinity
var<workgroup> queries: array<Operand, queryRows * pitch>; // [query][depth]
var<workgroup> stage: array<Operand, keyRows * pitch>; // [key][depth] of k, then of v
var<workgroup> weights: array<vec4f, keyRows * fours>; // [key][four queries]; before that [invocation][four queries]
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
fn attention_queries(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  if (group.z > 0u) { return; }
  let place = placeOf(group.x, queryRows);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * depth;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let firstQuery = place.firstRow * stride + head * depth;
  let firstKey = firstQuery + width;
  let four = lane / 8u; // of the groups of four queries
  let column = lane % 8u; // and column + 8, + 16, + 24 of the keys and of the vectors of the result
  // Rows past the last token repeat it, so that every load is in bounds.
  for (var e = lane; e < queryRows * depth; e += invocations) {
    let row = e / depth;
    let at = e % depth;
    queries[row * pitch + (at ^ ((row / 4u) & swizzle))] = qkv[firstQuery + min(place.firstToken + row, last) * stride + at];
  }
  var sums = Sums();
  var top = vec4f(masked);
  var total = vec4f();
  let atQuery = 4u * four * pitch;
  let atKey = column * pitch;
  for (var j = 0u; j < tokens; j += keyRows) {
    workgroupBarrier();
    for (var e = lane; e < keyRows * depth; e += invocations) {
      stage[staged(e)] = qkv[firstKey + min(j + e / depth, last) * stride + e % depth];
    }
    workgroupBarrier();
    var s = mat4x4f(); // a vector of each query: of the four keys
    for (var d = 0u; d < params.depth; d++) {
      let k = atKey + (d ^ (column & swizzle));
      let q = atQuery + (d ^ (four & swizzle));
      let keys = mat4x4f(
        vec4f(stage[k]), vec4f(stage[k + 8u * pitch]), vec4f(stage[k + 16u * pitch]), vec4f(stage[k + 24u * pitch]),
      );
      let rows = mat4x4f(
        vec4f(queries[q]), vec4f(queries[q + pitch]), vec4f(queries[q + 2u * pitch]), vec4f(queries[q + 3u * pitch]),
      );
      s = add_four_dots(rows, keys, s);
    }
    let isKey = vec4u(j + column) + vec4u(0u, 8u, 16u, 24u) < vec4u(tokens);
    // From here on a vector holds four queries.
    let scores = transpose(mat4x4f(
      select(vec4f(masked), params.scale * s[0], isKey),
      select(vec4f(masked), params.scale * s[1], isKey),
      select(vec4f(masked), params.scale * s[2], isKey),
      select(vec4f(masked), params.scale * s[3], isKey),
    ));
    weights[fours * column + four] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
    workgroupBarrier();
    var next = top;
    for (var i = 0u; i < 8u; i++) { next = max(next, weights[fours * i + four]); }
    let shrink = exp(top - next);
    top = next;
    let w = mat4x4f(exp(scores[0] - next), exp(scores[1] - next), exp(scores[2] - next), exp(scores[3] - next));
    total = total * shrink + (w[0] + w[1]) + (w[2] + w[3]);
    for (var e = lane; e < keyRows * depth; e += invocations) {
      stage[staged(e)] = qkv[firstKey + width + min(j + e / depth, last) * stride + e % depth];
    }
    workgroupBarrier();
    keep_weights(four, column, w);
    workgroupBarrier();
    sums = add_tile(shrunk(sums, shrink), four, column, min(keyRows, tokens - j));
  }
  workgroupBarrier();
  weights[fours * column + four] = total;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < 8u; i++) { sum += weights[fours * i + four]; }
  let token = vec4u(place.firstToken + 4u * four) + vec4u(0u, 1u, 2u, 3u);
  let isToken = token < vec4u(tokens);
  let at = (vec4u(place.firstRow) + token) * width + head * depth + column;
  write_rows(sums.first, sum, at, isToken & vec4<bool>(column < depth));
  write_rows(sums.second, sum, at + 8u, isToken & vec4<bool>(column + 8u < depth));
  write_rows(sums.third, sum, at + 16u, isToken & vec4<bool>(column + 16u < depth));
  write_rows(sums.fourth, sum, at + 24u, isToken & vec4<bool>(column + 24u < depth));
  if (keepLogSums && column == 0u) {
    let logSum = top + log(sum);
    for (var i = 0u; i < 4u; i++) {
      if (isToken[i]) { logSums[(place.firstRow + token[i]) * params.heads + head] = logSum[i]; }
    }
  }
}

fn write_rows(rows: mat4x4f, totals: vec4f, at: vec4u, isThere: vec4<bool>) {
  if (isThere.x) { y[at.x] = Operand(rows[0] / totals.x); }
  if (isThere.y) { y[at.y] = Operand(rows[1] / totals.y); }
  if (isThere.z) { y[at.z] = Operand(rows[2] / totals.z); }
  if (isThere.w) { y[at.w] = Operand(rows[3] / totals.w); }
}

// Those that a head has, times a factor of each row.
fn shrunk(before: Sums, factors: vec4f) -> Sums {
  var sums = before;
  sums.first = scale_rows(sums.first, factors);
  if (depth > 8u) { sums.second = scale_rows(sums.second, factors); }
  if (depth > 16u) { sums.third = scale_rows(sums.third, factors); }
  if (depth > 24u) { sums.fourth = scale_rows(sums.fourth, factors); }
  return sums;
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

fn scale_rows(rows: mat4x4f, factors: vec4f) -> mat4x4f {
  return mat4x4f(rows[0] * factors.x, rows[1] * factors.y, rows[2] * factors.z, rows[3] * factors.w);
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
