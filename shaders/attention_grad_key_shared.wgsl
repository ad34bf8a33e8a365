// dk and dv of attention, with the weights p = exp(scale q.k - logSum) computed again (arXiv 2205.14135, appendix B):
// dv = pT dy, dS = p (dy.v - delta), dk = scale dST q. A tile of keys sees all queries, so that nothing is added
// atomically. 64 invocations share a tile of 32 keys and 32 queries in workgroup memory; each computes four rows by
// four columns, and four rows by every eighth dimension of the result. For GPUs.
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

const side = 32u; // rows and columns of a tile
const pitch = side + 1u; // odd, so that the rows of a tile start in different memory banks
const slice = 8u; // dimensions of k, q, v and dy loaded at a time
const parts = (headDim + side - 1u) / side; // slices of the result
var<workgroup> stage: array<f32, side * pitch>; // [dimension] of k, q, v and dy in turn; or [query][dimension]
var<workgroup> weights: array<f32, side * pitch>; // [key][query]
var<workgroup> dScores: array<f32, side * pitch>; // [key][query]
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
fn attention_grad_key_shared(
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
  var dk: array<vec4f, 4u * parts>;
  var dv: array<vec4f, 4u * parts>;
  for (var i = 0u; i < tokens; i += side) {
    var score = array<vec4f, 4>(); // Dawn clears a bare declaration only on the first turn of the loop
    var dWeight = array<vec4f, 4>(); // Dawn clears a bare declaration only on the first turn of the loop
    for (var d = 0u; d < params.depth; d += slice) {
      workgroupBarrier();
      for (var e = lane; e < slice * side; e += 64u) {
        let at = min(d + e % slice, headDim - 1u);
        let key = firstKey + min(place.firstToken + e / slice, last) * stride + at;
        let query = min(i + e / slice, last);
        let to = (e % slice) * pitch + e / slice;
        stage[to] = params.scale * f32(qkv[key]);
        stage[to + slice * pitch] = f32(qkv[firstQuery + query * stride + at]);
        stage[to + 2u * slice * pitch] = f32(qkv[key + width]);
        stage[to + 3u * slice * pitch] = f32(dy[firstResult + query * width + at]);
      }
      workgroupBarrier();
      for (var e = 0u; e < min(slice, params.depth - d); e++) {
        let k = e * pitch + row;
        let q = (slice + e) * pitch + column;
        let v = (2u * slice + e) * pitch + row;
        let slope = (3u * slice + e) * pitch + column;
        let queries = vec4f(stage[q], stage[q + 8u], stage[q + 16u], stage[q + 24u]);
        let slopes = vec4f(stage[slope], stage[slope + 8u], stage[slope + 16u], stage[slope + 24u]);
        for (var r = 0u; r < 4u; r++) {
          score[r] += stage[k + 8u * r] * queries;
          dWeight[r] += stage[v + 8u * r] * slopes;
        }
      }
    }
    let query = vec4u(i + column) + vec4u(0u, 8u, 16u, 24u);
    let at = (vec4u(place.firstRow) + min(query, vec4u(last))) * params.heads + head;
    let logSum = vec4f(logSums[at.x], logSums[at.y], logSums[at.z], logSums[at.w]);
    let delta = vec4f(deltas[at.x], deltas[at.y], deltas[at.z], deltas[at.w]);
    for (var r = 0u; r < 4u; r++) {
      let weight = select(vec4f(), exp(score[r] - logSum), query < vec4u(tokens));
      let dScore = weight * (dWeight[r] - delta);
      for (var c = 0u; c < 4u; c++) {
        weights[(row + 8u * r) * pitch + column + 8u * c] = weight[c];
        dScores[(row + 8u * r) * pitch + column + 8u * c] = dScore[c];
      }
    }
    for (var part = 0u; part < parts; part++) {
      workgroupBarrier();
      for (var e = lane; e < side * side; e += 64u) {
        let d = part * side + e % side;
        let q = f32(qkv[firstQuery + min(i + e / side, last) * stride + min(d, headDim - 1u)]);
        stage[e / side * pitch + e % side] = q;
      }
      workgroupBarrier();
      var sumK = array<vec4f, 4>();
      for (var t = 0u; t < min(side, tokens - i); t++) {
        let q = t * pitch + column;
        let queries = vec4f(stage[q], stage[q + 8u], stage[q + 16u], stage[q + 24u]);
        for (var r = 0u; r < 4u; r++) { sumK[r] += dScores[(row + 8u * r) * pitch + t] * queries; }
      }
      workgroupBarrier();
      for (var e = lane; e < side * side; e += 64u) {
        let d = part * side + e % side;
        let slope = f32(dy[firstResult + min(i + e / side, last) * width + min(d, headDim - 1u)]);
        stage[e / side * pitch + e % side] = slope;
      }
      workgroupBarrier();
      var sumV = array<vec4f, 4>();
      for (var t = 0u; t < min(side, tokens - i); t++) {
        let slope = t * pitch + column;
        let slopes = vec4f(stage[slope], stage[slope + 8u], stage[slope + 16u], stage[slope + 24u]);
        for (var r = 0u; r < 4u; r++) { sumV[r] += weights[(row + 8u * r) * pitch + t] * slopes; }
      }
      for (var r = 0u; r < 4u; r++) {
        dk[4u * part + r] += sumK[r];
        dv[4u * part + r] += sumV[r];
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let token = place.firstToken + row + 8u * r;
    if (token < tokens) {
      for (var part = 0u; part < parts; part++) {
        let dKey = params.scale * dk[4u * part + r];
        let dValue = dv[4u * part + r];
        for (var d = part * side + column; d < min(part * side + side, params.depth); d += 8u) {
          let at = firstKey + token * stride + d;
          dqkv[at] = Operand(dKey[(d - part * side) / 8u]);
          dqkv[at + width] = Operand(dValue[(d - part * side) / 8u]);
        }
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
