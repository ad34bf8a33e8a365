// y[g, i] = sum of |x_i - x_j| over the rows j of group g, the Euclidean distances to all rows at once without storing any.
// Differences are squared, not lengths subtracted from each other: a small distance keeps its digits.
// A thread owns four queries. The others stand in tiles of eight rows of one group; places of a tile without a row do not count.
const lanes = 32u;
const tileRows = 8u;
const tilesPerSum = 32u; // distances of so many tiles are added up apart, so that rounding does not grow with all rows
struct Params { quads: u32, columns: u32, groups: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4f>; // [columns, quads]: a column of four queries each
@group(0) @binding(2) var<storage, read> tiles: array<vec4f>; // [tiles, columns, 2]: a column of four of the tile's rows each
@group(0) @binding(3) var<storage, read> starts: array<u32>; // first tile of each group, and the end of the last
@group(0) @binding(4) var<storage, read> filled: array<u32>; // rows of each tile
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>; // [groups, quads]

@compute @workgroup_size(lanes)
fn group_distances(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u((params.quads + lanes - 1u) / lanes, params.groups));
  if (group.z > 0u) { return; }
  let quad = lanes * group.x + lane;
  if (quad >= params.quads) { return; }
  let end = starts[group.y + 1u];
  var sum = vec4f();
  for (var first = starts[group.y]; first < end; first += tilesPerSum) {
    var part = vec4f();
    for (var tile = first; tile < min(first + tilesPerSum, end); tile += 1u) {
      var squares = array<vec4f, tileRows>(); // Dawn clears a variable without initialiser only once, not in every turn of a loop
      for (var c = 0u; c < params.columns; c += 1u) {
        let x = queries[c * params.quads + quad];
        let at = 2u * (tile * params.columns + c);
        let low = tiles[at];
        let high = tiles[at + 1u];
        let d0 = x - low.x;
        let d1 = x - low.y;
        let d2 = x - low.z;
        let d3 = x - low.w;
        let d4 = x - high.x;
        let d5 = x - high.y;
        let d6 = x - high.z;
        let d7 = x - high.w;
        squares[0] += d0 * d0;
        squares[1] += d1 * d1;
        squares[2] += d2 * d2;
        squares[3] += d3 * d3;
        squares[4] += d4 * d4;
        squares[5] += d5 * d5;
        squares[6] += d6 * d6;
        squares[7] += d7 * d7;
      }
      let distances = squares; // a copy, since the loop below indexes it by a variable and would move `squares` out of registers
      for (var row = 0u; row < filled[tile]; row += 1u) { part += sqrt(distances[row]); }
    }
    sum += part;
  }
  y[group.y * params.quads + quad] = sum;
}

// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
