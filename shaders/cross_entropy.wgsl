// Soft-max cross-entropy of row r against q = (1 - s) onehot(targets[r]) + s / columns, s the label smoothing (arXiv 1512.00567):
//   log sum exp(logits[r, :]) = logSum[r].x + logSum[r].y, the largest logit and the rest,   losses[r] = logSum[r].x + logSum[r].y - (1 - s) logits[r, target] - s mean(logits[r, :]).
// A target outside the row is clamped and raises the flag: bad index + 1, or a negative one as it is. One invocation per row, made for software adapters; each
// place of an Element has its own maximum and sums until the end of the row.
alias Element = vec4f; // f32 where the columns are not a multiple of 4
const width = 4u; // numbers in an Element
struct Params { rows: u32, columns: u32, smoothing: f32, slot: u32 }
const lowest = -3.4028234e38; // where maxima start: of minus infinity alone no difference could be taken
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<Element>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> logSum: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> flags: array<atomic<u32>>;

@compute @workgroup_size(64)
fn cross_entropy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let elements = params.columns / width;
  for (var row = id.x; row < params.rows; row += groups.x * 64u) {
    let first = row * elements;
    let end = first + elements;
    let start = vec4f(logits[first]).x;
    let origin = select(start, 0.0, start < lowest); // minus infinity is no place to start from
    let portion = 1.0 / f32(params.columns); // of each logit in the mean: large ones would overflow as a sum
    var largest = Element(lowest);
    var sum = Element();
    var excess = Element(); // of the logits over the first one: small numbers keep their digits
    var i = first;
    for (; i + 4u <= end; i += 4u) {
      let a = logits[i];
      let b = logits[i + 1u];
      let c = logits[i + 2u];
      let d = logits[i + 3u];
      let next = max(largest, max(max(a, b), max(c, d)));
      sum = sum * exp(largest - next) + (exp(a - next) + exp(b - next)) + (exp(c - next) + exp(d - next));
      excess += ((a - origin) * portion + (b - origin) * portion) + ((c - origin) * portion + (d - origin) * portion);
      largest = next;
    }
    for (; i < end; i++) {
      let v = logits[i];
      let next = max(largest, v);
      sum = sum * exp(largest - next) + exp(v - next);
      excess += (v - origin) * portion;
      largest = next;
    }
    let places = vec4f(largest); // of a single number four copies, which count as one
    let share = vec4f(0.25 * f32(width));
    let top = max(max(places.x, places.y), max(places.z, places.w));
    let wanted = targets[row];
    if (wanted >= params.columns) { atomicMax(&flags[params.slot], select(wanted + 1u, wanted, wanted > 0x80000000u)); }
    let place = min(wanted, params.columns - 1u);
    let hit = vec4f(logits[first + place / width])[place % width];
    let total = dot(vec4f(sum * exp(largest - top)), share);
    // The largest logit makes it 1 at least: below there is none, above exp(NaN) was infinite.
    let level = select(log(total), bitcast<f32>(params.rows | 0x7fc00000u), !(total > 0.5 && total < 1e30));
    let average = origin + dot(vec4f(excess), share);
    let spread = select(params.smoothing * (top - average), 0.0, params.smoothing == 0.0);
    losses[row] = level + (1.0 - params.smoothing) * (top - hit) + spread;
    logSum[row] = vec2f(top, level);
  }
}
