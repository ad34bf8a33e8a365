// The k best bank rows for each query: similarity and selection in one pass, so that no similarity is stored.
// Each lane owns four queries. Eight bank rows at a time are loaded one per lane and broadcast: a load costs a software adapter
// more than the multiplications it feeds, so each bank element is loaded once for all queries of the subgroup.
const lanes = 8u; // the adapter's subgroup size; a workgroup is one subgroup
const bankTile = 8u; // bank rows per step
const loads = (bankTile + lanes - 1u) / lanes;
const lowest = -0x1.fffffep+127f; // similarity of an empty place
const limit = 3.39e38f; // of a bank row's similarity

struct Params {
  queries: u32,
  rows: u32, // of this part of the bank
  columns: u32,
  firstRow: u32, // index of the part's first row in the whole bank
  k: u32,
  segments: u32,
  rowsPerSegment: u32,
  excludesIds: u32,
  keepsClass: u32,
  excludedSimilarity: f32,
  continues: u32, // whether `previous` holds the lists of the parts before this one
}
struct Trait { scale: f32, id: u32, label: u32, padding: u32 }
struct Entry { similarity: f32, index: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<f32>;
@group(0) @binding(2) var<storage, read> queryTraits: array<Trait>;
@group(0) @binding(3) var<storage, read> bank: array<f32>;
@group(0) @binding(4) var<storage, read> bankTraits: array<Trait>;
@group(0) @binding(5) var<storage, read> previous: array<Entry>;
@group(0) @binding(6) var<storage, read_write> lists: array<Entry>; // [query, segment, k], each list a heap with its worst entry first

fn worse(a: Entry, b: Entry) -> bool {
  return a.similarity < b.similarity || (a.similarity == b.similarity && a.index > b.index);
}

// Puts `entry` in the place of the worst one of a list and returns the similarity of the new worst one.
fn replace_worst(list: u32, entry: Entry) -> f32 {
  var place = 0u;
  for (var child = 1u; child < params.k; child = 2u * place + 1u) {
    var next = lists[list + child];
    if (child + 1u < params.k) {
      let sibling = lists[list + child + 1u];
      if (worse(sibling, next)) {
        next = sibling;
        child += 1u;
      }
    }
    if (!worse(next, entry)) { break; }
    lists[list + place] = next;
    place = child;
  }
  lists[list + place] = entry;
  return lists[list].similarity;
}

fn start_list(list: u32) -> f32 {
  for (var j = 0u; j < params.k; j += 1u) {
    var entry = Entry(lowest, 0xffffffffu);
    if (params.continues == 1u) { entry = previous[list + j]; }
    lists[list + j] = entry;
  }
  return lists[list].similarity;
}

@compute @workgroup_size(lanes)
fn nearest_subgroup(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = unfold(workgroup, grid, vec2u((params.queries + 4u * lanes - 1u) / (4u * lanes), params.segments));
  if (group.z > 0u) { return; }
  let columns = params.columns;
  let first = group.y * params.rowsPerSegment;
  let end = min(first + params.rowsPerSegment, params.rows);
  // Query q of this thread is the one `lanes` places after query q - 1.
  let query = 4u * lanes * group.x + lane + lanes * vec4u(0u, 1u, 2u, 3u);
  let source = min(query, vec4u(params.queries - 1u));
  let queryStart = source * columns;
  let list = (source * params.segments + group.y) * params.k;
  var scale: vec4f;
  var ids: vec4u;
  var labels: vec4u;
  var worst = vec4f(limit); // a place without a query takes nothing
  for (var q = 0u; q < 4u; q += 1u) {
    let own = queryTraits[source[q]];
    scale[q] = own.scale;
    ids[q] = own.id;
    labels[q] = own.label;
    if (query[q] < params.queries) { worst[q] = start_list(list[q]); }
  }

  for (var row = first; row < end; row += bankTile) {
    var dots = array<vec4f, bankTile>(); // Dawn clears a variable without initialiser only once, not in every turn of a loop
    var rowStart = array<u32, loads>();
    var held = array<f32, loads>();
    for (var i = 0u; i < loads; i += 1u) { rowStart[i] = min(row + i * lanes + lane, end - 1u) * columns; }
    for (var c = 0u; c < columns; c += 1u) {
      for (var i = 0u; i < loads; i += 1u) { held[i] = bank[rowStart[i] + c]; }
      let x = vec4f(queries[queryStart.x + c], queries[queryStart.y + c], queries[queryStart.z + c], queries[queryStart.w + c]);
      dots[0] += x * subgroupBroadcast(held[0u / lanes], 0u % lanes); // written out, since the lane must be a constant
      dots[1] += x * subgroupBroadcast(held[1u / lanes], 1u % lanes);
      dots[2] += x * subgroupBroadcast(held[2u / lanes], 2u % lanes);
      dots[3] += x * subgroupBroadcast(held[3u / lanes], 3u % lanes);
      dots[4] += x * subgroupBroadcast(held[4u / lanes], 4u % lanes);
      dots[5] += x * subgroupBroadcast(held[5u / lanes], 5u % lanes);
      dots[6] += x * subgroupBroadcast(held[6u / lanes], 6u % lanes);
      dots[7] += x * subgroupBroadcast(held[7u / lanes], 7u % lanes);
    }
    let scores = dots; // a copy, since the loop below indexes it by a variable and would move `dots` out of registers
    let count = min(bankTile, end - row);
    for (var i = 0u; i < count; i += 1u) {
      let entry = bankTraits[row + i];
      // One factor after the other: the product of two small scales would vanish.
      let whole = scores[i] * scale * entry.scale;
      var similarity = select(vec4f(-limit), clamp(whole, vec4f(-limit), vec4f(limit)), whole == whole); // adapters choose what they clamp NaN to
      if (params.excludesIds == 1u) { similarity = select(similarity, vec4f(params.excludedSimilarity), ids == vec4u(entry.id)); }
      if (params.keepsClass == 1u) { similarity = select(similarity, vec4f(params.excludedSimilarity), labels != vec4u(entry.label)); }
      if (subgroupAny(any(similarity > worst))) {
        for (var q = 0u; q < 4u; q += 1u) {
          if (similarity[q] > worst[q]) {
            worst[q] = replace_worst(list[q], Entry(similarity[q], params.firstRow + row + i));
          }
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
