// dq of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B): delta =
// dy.y of each query, dS = p (dy.v - delta), dq = scale dS k. deltas is kept for the gradient of k and v. 64
// invocations share a tile of 32 queries and 32 keys in workgroup memory; each computes four rows by four columns, and
// four rows by every eighth dimension of the result. For GPUs.
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

const side = 32u; // rows and columns of a tile
const pitch = side + 1u; // odd, so that the rows of a tile start in different memory banks
const slice = 8u; // dimensions of q, k, v and dy loaded at a time
const parts = (headDim + side - 1u) / side; // slices of the result
var<workgroup> stage: array<f32, side * pitch>; // [dimension] of q, k, dy and v in turn; or [key][dimension] of k
var<workgroup> dScores: array<f32, side * pitch>; // [query][key]
var<workgroup> partial: array<f32, side * 8u>; // [query][invocation]
struct Place { firstRow: u32, tokens: u32, firstToken: u32 } // an image in qkv, and the first token of a tile of it

fn placeOf(tile: u32, tileRows: u32) -> Place {
  let passed = select(vec3u(0u), vec3u(1u), vec3u(tile) >= params.firstTile.yzw);
  let segment = passed.x + passed.y + passed.z;
  let tokens = params.tokens[segment];
  let tilesPerImage = (tokens + tileRows - 1u) / tileRows;
  let local = tile - params.firstTile[segment];
  return Place(params.firstRow[segment] + local / tilesPerImage * tokens, tokens, local % tilesPerImage * tileRows);
}

@compute @workgroup_size(64)
fn attention_grad_query_shared(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  let tile = group.x;
  if (group.z > 0u) { return; }
  let place = placeOf(tile, side);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * headDim;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let firstQuery = place.firstRow * stride + head * headDim;
  let firstKey = firstQuery + width;
  let firstResult = place.firstRow * width + head * headDim;
  let row = lane / 8u; // and row + 8, + 16, + 24
  let column = lane % 8u; // and column + 8, + 16, + 24
  var logSum = vec4f();
  for (var r = 0u; r < 4u; r++) {
    let token = min(place.firstToken + row + 8u * r, last);
    logSum[r] = logSums[(place.firstRow + token) * params.heads + head];
    var sum = 0.0;
    for (var d = column; d < params.depth; d += 8u) {
      sum += f32(y[firstResult + token * width + d]) * f32(dy[firstResult + token * width + d]);
    }
    partial[(row + 8u * r) * 8u + column] = sum;
  }
  workgroupBarrier();
  var delta = vec4f();
  for (var r = 0u; r < 4u; r++) {
    let first = (row + 8u * r) * 8u;
    for (var at = first; at < first + 8u; at++) { delta[r] += partial[at]; }
  }
  var dq: array<vec4f, 4u * parts>;
  for (var j = 0u; j < tokens; j += side) {
    var score = array<vec4f, 4>(); // Dawn clears a bare declaration only on the first turn of the loop
    var dWeight = array<vec4f, 4>(); // Dawn clears a bare declaration only on the first turn of the loop
    for (var d = 0u; d < params.depth; d += slice) {
      workgroupBarrier();
      for (var e = lane; e < slice * side; e += 64u) {
        let at = min(d + e % slice, headDim - 1u);
        let query = min(place.firstToken + e / slice, last);
        let key = firstKey + min(j + e / slice, last) * stride + at;
        let to = (e % slice) * pitch + e / slice;
        stage[to] = params.scale * f32(qkv[firstQuery + query * stride + at]);
        stage[to + slice * pitch] = f32(qkv[key]);
        stage[to + 2u * slice * pitch] = f32(dy[firstResult + query * width + at]);
        stage[to + 3u * slice * pitch] = f32(qkv[key + width]);
      }
      workgroupBarrier();
      for (var e = 0u; e < min(slice, params.depth - d); e++) {
        let q = e * pitch + row;
        let k = (slice + e) * pitch + column;
        let slope = (2u * slice + e) * pitch + row;
        let v = (3u * slice + e) * pitch + column;
        let keys = vec4f(stage[k], stage[k + 8u], stage[k + 16u], stage[k + 24u]);
        let values = vec4f(stage[v], stage[v + 8u], stage[v + 16u], stage[v + 24u]);
        for (var r = 0u; r < 4u; r++) {
          score[r] += stage[q + 8u * r] * keys;
          dWeight[r] += stage[slope + 8u * r] * values;
        }
      }
    }
    let isKey = vec4u(j + column) + vec4u(0u, 8u, 16u, 24u) < vec4u(tokens);
    for (var r = 0u; r < 4u; r++) {
      let dScore = select(vec4f(), exp(score[r] - logSum[r]) * (dWeight[r] - delta[r]), isKey);
      for (var c = 0u; c < 4u; c++) { dScores[(row + 8u * r) * pitch + column + 8u * c] = dScore[c]; }
    }
    for (var part = 0u; part < parts; part++) {
      workgroupBarrier();
      for (var e = lane; e < side * side; e += 64u) {
        let d = part * side + e % side;
        let k = f32(qkv[firstKey + min(j + e / side, last) * stride + min(d, headDim - 1u)]);
        stage[e / side * pitch + e % side] = k;
      }
      workgroupBarrier();
      var sum = array<vec4f, 4>();
      for (var t = 0u; t < min(side, tokens - j); t++) {
        let k = t * pitch + column;
        let keys = vec4f(stage[k], stage[k + 8u], stage[k + 16u], stage[k + 24u]);
        for (var r = 0u; r < 4u; r++) { sum[r] += dScores[(row + 8u * r) * pitch + t] * keys; }
      }
      for (var r = 0u; r < 4u; r++) { dq[4u * part + r] += sum[r]; }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let token = place.firstToken + row + 8u * r;
    if (token < tokens) {
      for (var part = 0u; part < parts; part++) {
        let value = params.scale * dq[4u * part + r];
        for (var d = part * side + column; d < min(part * side + side, params.depth); d += 8u) {
          dqkv[firstQuery + token * stride + d] = Operand(value[(d - part * side) / 8u]);
        }
      }
      if (column == 0u) { deltas[(place.firstRow + token) * params.heads + head] = delta[r]; }
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
