// y[place, c] = the largest, or `scale` times the sum, of x in a window around the place; channels last. The grid strides over the elements.
alias Element = vec4f; // f32 where the number of channels is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
alias Choice = vec4<bool>;
alias Tap = vec4u;
override maximum: bool = false;
override keepWinners: bool = false; // the place in the window that the largest came from
struct Params {
  count: u32, width: u32, // elements written; elements of a place
  places: vec2u, sources: vec2u, window: vec2u, stride: vec2u, padding: vec2u, // rows and columns; of the result, of the source
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;
@group(0) @binding(3) var<storage, read_write> winners: array<Tap>;

@compute @workgroup_size(64)
fn pool(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let place = i / params.width;
    let line = place / params.places.y;
    let image = line / params.places.x;
    let down = i32((line % params.places.x) * params.stride.x) - i32(params.padding.x);
    let aside = i32((place % params.places.y) * params.stride.y) - i32(params.padding.y);
    var total = Element();
    var winner = Tap();
    var isFirst = true;
    for (var tap = 0u; tap < params.window.x * params.window.y; tap++) {
      let row = down + i32(tap / params.window.y);
      let column = aside + i32(tap % params.window.y);
      if (row < 0 || column < 0 || row >= i32(params.sources.x) || column >= i32(params.sources.y)) { continue; }
      let source = (image * params.sources.x + u32(row)) * params.sources.y + u32(column);
      let value = Element(x[source * params.width + i % params.width]);
      if (maximum) {
        // The first of equals; NaN is larger than all numbers.
        let wins = (((value > total) | !(value == value)) & (total == total)) | Choice(isFirst);
        total = select(total, value, wins);
        winner = select(winner, Tap(tap), wins);
        isFirst = false;
      } else {
        total += value;
      }
    }
    y[i] = Stored(total * params.scale);
    if (keepWinners) { winners[i] = winner; }
  }
}
