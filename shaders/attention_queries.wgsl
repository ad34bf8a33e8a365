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
const depth = headDim / 4u; // vectors of four dimensions
// Neighbouring invocations read neighbouring rows at one depth; so that these lie in different memory banks, the row chooses the order of
// each eight vectors, or the rows have an odd length where eight do not divide it.
const swizzle = select(0u, 7u, depth % 8u == 0u);
const pitch = select(depth | 1u, depth, depth % 8u == 0u);
const masked = -1e30; // below every score, yet finite: compilers assume that there is no infinity
var<workgroup> queries: array<Operand, queryRows * pitch>; // [query][depth]
var<workgroup> stage: array<Operand, keyRows * pitch>; // [key][depth] of k, then of v
var<workgroup> weights: array<vec4f, keyRows * 16u>; // [key][four queries]; before that [invocation][four queries]
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
  let four = lane / 8u; // of the 16 groups of four queries
  let column = lane % 8u; // and column + 8, + 16, + 24 of the keys and of the vectors of the result
  // Rows past the last token repeat it, so that every load is in bounds.
  for (var e = lane; e < queryRows * depth; e += invocations) {
    let row = e / depth;
    let at = e % depth;
    queries[row * pitch + (at ^ ((row / 4u) & swizzle))] = qkv[firstQuery + min(place.firstToken + row, last) * stride + at];
  }
  var a0 = vec4f();
  var a1 = vec4f();
  var a2 = vec4f();
  var a3 = vec4f();
  var b0 = vec4f();
  var b1 = vec4f();
  var b2 = vec4f();
  var b3 = vec4f();
  var c0 = vec4f();
  var c1 = vec4f();
  var c2 = vec4f();
  var c3 = vec4f();
  var d0 = vec4f();
  var d1 = vec4f();
  var d2 = vec4f();
  var d3 = vec4f();
  var top = vec4f(masked);
  var total = vec4f();
  let atQuery = 4u * four * pitch;
  let atKey = column * pitch;
  let vectors = min(vec4u(column) + vec4u(0u, 8u, 16u, 24u), vec4u(depth - 1u)); // of the result
  for (var j = 0u; j < tokens; j += keyRows) {
    workgroupBarrier();
    for (var e = lane; e < keyRows * depth; e += invocations) {
      let row = e / depth;
      let at = e % depth;
      stage[row * pitch + (at ^ (row & swizzle))] = qkv[firstKey + min(j + row, last) * stride + at];
    }
    workgroupBarrier();
    var s0 = vec4f(); // of the first query and the four keys
    var s1 = vec4f();
    var s2 = vec4f();
    var s3 = vec4f();
    for (var d = 0u; d < params.depth; d++) {
      let k = atKey + (d ^ (column & swizzle));
      let q = atQuery + (d ^ (four & swizzle));
      let keys = transpose(mat4x4f(
        vec4f(stage[k]), vec4f(stage[k + 8u * pitch]), vec4f(stage[k + 16u * pitch]), vec4f(stage[k + 24u * pitch]),
      ));
      s0 = add_products(vec4f(queries[q]), keys, s0);
      s1 = add_products(vec4f(queries[q + pitch]), keys, s1);
      s2 = add_products(vec4f(queries[q + 2u * pitch]), keys, s2);
      s3 = add_products(vec4f(queries[q + 3u * pitch]), keys, s3);
    }
    let isKey = vec4u(j + column) + vec4u(0u, 8u, 16u, 24u) < vec4u(tokens);
    // From here on a vector holds four queries.
    let scores = transpose(mat4x4f(
      select(vec4f(masked), params.scale * s0, isKey),
      select(vec4f(masked), params.scale * s1, isKey),
      select(vec4f(masked), params.scale * s2, isKey),
      select(vec4f(masked), params.scale * s3, isKey),
    ));
    weights[16u * column + four] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
    workgroupBarrier();
    var next = top;
    for (var i = 0u; i < 8u; i++) { next = max(next, weights[16u * i + four]); }
    let shrink = exp(top - next);
    top = next;
    let w0 = exp(scores[0] - next);
    let w1 = exp(scores[1] - next);
    let w2 = exp(scores[2] - next);
    let w3 = exp(scores[3] - next);
    total = total * shrink + (w0 + w1) + (w2 + w3);
    for (var e = lane; e < keyRows * depth; e += invocations) {
      let row = e / depth;
      let at = e % depth;
      stage[row * pitch + (at ^ (row & swizzle))] = qkv[firstKey + width + min(j + row, last) * stride + at];
    }
    workgroupBarrier();
    let to = 16u * column + (four ^ column);
    weights[to] = w0;
    weights[to + 128u] = w1;
    weights[to + 256u] = w2;
    weights[to + 384u] = w3;
    workgroupBarrier();
    a0 *= shrink.x;
    a1 *= shrink.y;
    a2 *= shrink.z;
    a3 *= shrink.w;
    if (depth > 8u) {
      b0 *= shrink.x;
      b1 *= shrink.y;
      b2 *= shrink.z;
      b3 *= shrink.w;
    }
    if (depth > 16u) {
      c0 *= shrink.x;
      c1 *= shrink.y;
      c2 *= shrink.z;
      c3 *= shrink.w;
    }
    if (depth > 24u) {
      d0 *= shrink.x;
      d1 *= shrink.y;
      d2 *= shrink.z;
      d3 *= shrink.w;
    }
    for (var t = 0u; t < min(keyRows, tokens - j); t++) {
      let weight = weights[16u * t + (four ^ (t & 7u))];
      let atValue = t * pitch;
      let order = t & swizzle;
      let v0 = vec4f(stage[atValue + (vectors.x ^ order)]);
      a0 = fma(vec4f(weight.x), v0, a0);
      a1 = fma(vec4f(weight.y), v0, a1);
      a2 = fma(vec4f(weight.z), v0, a2);
      a3 = fma(vec4f(weight.w), v0, a3);
      if (depth > 8u) {
        let v1 = vec4f(stage[atValue + (vectors.y ^ order)]);
        b0 = fma(vec4f(weight.x), v1, b0);
        b1 = fma(vec4f(weight.y), v1, b1);
        b2 = fma(vec4f(weight.z), v1, b2);
        b3 = fma(vec4f(weight.w), v1, b3);
      }
      if (depth > 16u) {
        let v2 = vec4f(stage[atValue + (vectors.z ^ order)]);
        c0 = fma(vec4f(weight.x), v2, c0);
        c1 = fma(vec4f(weight.y), v2, c1);
        c2 = fma(vec4f(weight.z), v2, c2);
        c3 = fma(vec4f(weight.w), v2, c3);
      }
      if (depth > 24u) {
        let v3 = vec4f(stage[atValue + (vectors.w ^ order)]);
        d0 = fma(vec4f(weight.x), v3, d0);
        d1 = fma(vec4f(weight.y), v3, d1);
        d2 = fma(vec4f(weight.z), v3, d2);
        d3 = fma(vec4f(weight.w), v3, d3);
      }
    }
  }
  workgroupBarrier();
  weights[16u * column + four] = total;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < 8u; i++) { sum += weights[16u * i + four]; }
  let token = vec4u(place.firstToken + 4u * four) + vec4u(0u, 1u, 2u, 3u);
  let isToken = token < vec4u(tokens);
  if (column < depth) {
    let at = place.firstRow * width + head * depth + column;
    if (isToken.x) { y[at + token.x * width] = Operand(a0 / sum.x); }
    if (isToken.y) { y[at + token.y * width] = Operand(a1 / sum.y); }
    if (isToken.z) { y[at + token.z * width] = Operand(a2 / sum.z); }
    if (isToken.w) { y[at + token.w * width] = Operand(a3 / sum.w); }
  }
  if (column + 8u < depth) {
    let at = place.firstRow * width + head * depth + column + 8u;
    if (isToken.x) { y[at + token.x * width] = Operand(b0 / sum.x); }
    if (isToken.y) { y[at + token.y * width] = Operand(b1 / sum.y); }
    if (isToken.z) { y[at + token.z * width] = Operand(b2 / sum.z); }
    if (isToken.w) { y[at + token.w * width] = Operand(b3 / sum.w); }
  }
  if (column + 16u < depth) {
    let at = place.firstRow * width + head * depth + column + 16u;
    if (isToken.x) { y[at + token.x * width] = Operand(c0 / sum.x); }
    if (isToken.y) { y[at + token.y * width] = Operand(c1 / sum.y); }
    if (isToken.z) { y[at + token.z * width] = Operand(c2 / sum.z); }
    if (isToken.w) { y[at + token.w * width] = Operand(c3 / sum.w); }
  }
  if (column + 24u < depth) {
    let at = place.firstRow * width + head * depth + column + 24u;
    if (isToken.x) { y[at + token.x * width] = Operand(d0 / sum.x); }
    if (isToken.y) { y[at + token.y * width] = Operand(d1 / sum.y); }
    if (isToken.z) { y[at + token.z * width] = Operand(d2 / sum.z); }
    if (isToken.w) { y[at + token.w * width] = Operand(d3 / sum.w); }
  }
  if (keepLogSums && column == 0u) {
    let logSum = top + log(sum);
    for (var i = 0u; i < 4u; i++) {
      if (isToken[i]) { logSums[(place.firstRow + token[i]) * params.heads + head] = logSum[i]; }
    }
  }
}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
