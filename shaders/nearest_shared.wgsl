// The k best bank rows for each query: similarity and selection in one pass, so that no similarity leaves the workgroup.
// For hardware: 32 queries meet 64 bank rows in workgroup memory, each thread computes 4 x 4 of their products,
// and then one thread per query looks through its 64 similarities.
const queryTile = 32u;
const bankTile = 64u; // bank rows per step
const depth = 16u; // columns held at a time: with the scores, 15 KiB of the 16 KiB that every adapter has
// Odd lengths from one column, or one bank row, to the next, so that neighbouring threads store to different memory banks.
const queryPitch = queryTile / 4u + 1u;
const bankPitch = bankTile / 4u + 1u;
const scorePitch = queryTile + 1u;
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

// Four neighbouring rows per vector: element [column * pitch + row / 4].
var<workgroup> queryPart: array<vec4f, depth * queryPitch>;
var<workgroup> bankPart: array<vec4f, depth * bankPitch>;
var<workgroup> scores: array<f32, bankTile * scorePitch>;

fn query_column(row: u32, column: u32) -> vec4f {
  let last = params.queries - 1u;
  let at = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(last)) * params.columns + column;
  return vec4f(queries[at.x], queries[at.y], queries[at.z], queries[at.w]);
}

fn bank_column(row: u32, end: u32, column: u32) -> vec4f {
  let at = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u)) * params.columns + column;
  return vec4f(bank[at.x], bank[at.y], bank[at.z], bank[at.w]);
}

@compute @workgroup_size(128)
fn nearest_shared(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  let group = unfold(workgroup, grid, vec2u((params.queries + queryTile - 1u) / queryTile, params.segments));
  if (group.z > 0u) { return; }
  let first = group.y * params.rowsPerSegment;
  let end = min(first + params.rowsPerSegment, params.rows);
  let firstQuery = queryTile * group.x;
  let owned = min(firstQuery + thread, params.queries - 1u);
  let owns = thread < queryTile && firstQuery + thread < params.queries;
  let list = (owned * params.segments + group.y) * params.k;
  let own = queryTraits[owned];
  var worst = limit;
  if (owns) { worst = start_list(list); }
  let left = thread % depth; // the column to load, and the four bank rows to multiply
  let right = thread / depth; // the four rows to load, and the four queries to multiply

  for (var row = first; row < end; row += bankTile) {
    var dots = array<vec4f, 4>();
    for (var c = 0u; c < params.columns; c += depth) {
      let column = c + left;
      let inside = column < params.columns;
      var part = array<vec4f, 3>();
      if (inside) {
        part[0] = query_column(firstQuery + 4u * right, column);
        part[1] = bank_column(row + 4u * right, end, column);
        part[2] = bank_column(row + 4u * right + 32u, end, column);
      }
      workgroupBarrier();
      queryPart[left * queryPitch + right] = part[0];
      bankPart[left * bankPitch + right] = part[1];
      bankPart[left * bankPitch + right + 8u] = part[2];
      workgroupBarrier();
      for (var i = 0u; i < depth; i += 1u) {
        let x = queryPart[i * queryPitch + right];
        let y = bankPart[i * bankPitch + left];
        dots[0] += x * y.x;
        dots[1] += x * y.y;
        dots[2] += x * y.z;
        dots[3] += x * y.w;
      }
    }
    for (var i = 0u; i < 4u; i += 1u) {
      let at = (4u * left + i) * scorePitch + 4u * right;
      scores[at] = dots[i].x;
      scores[at + 1u] = dots[i].y;
      scores[at + 2u] = dots[i].z;
      scores[at + 3u] = dots[i].w;
    }
    workgroupBarrier();
    if (owns) {
      let count = min(bankTile, end - row);
      for (var i = 0u; i < count; i += 1u) {
        let entry = bankTraits[row + i];
        // One factor after the other: the product of two small scales would vanish.
        let whole = scores[i * scorePitch + thread] * own.scale * entry.scale;
        var similarity = select(-limit, clamp(whole, -limit, limit), whole == whole); // adapters choose what they clamp NaN to
        let excluded = (params.excludesIds == 1u && own.id == entry.id) || (params.keepsClass == 1u && own.label != entry.label);
        if (excluded) { similarity = params.excludedSimilarity; }
        if (similarity > worst) { worst = replace_worst(list, Entry(similarity, params.firstRow + row + i)); }
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
