// dx[source, c] = scale · sum of dy over the places whose window holds the source, or whose largest element it was.
alias Element = vec4f; // f32 where the number of channels is not a multiple of 4
alias Stored = vec4f;  // as it lies in memory; f16 or vec4<f16> for half precision
alias Tap = vec4u;
override maximum: bool = false;
struct Params {
  count: u32, width: u32, // elements written; elements of a place
  places: vec2u, sources: vec2u, window: vec2u, stride: vec2u, padding: vec2u, // rows and columns; of the result, of the source
  scale: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<Stored>;
@group(0) @binding(2) var<storage, read> winners: array<Tap>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(64)
fn pool_grad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let source = i / params.width;
    let line = source / params.sources.y;
    let image = line / params.sources.x;
    let down = line % params.sources.x + params.padding.x;
    let aside = source % params.sources.y + params.padding.y;
    var total = Element();
    for (var tap = 0u; tap < params.window.x * params.window.y; tap++) {
      let above = tap / params.window.y;
      let before = tap % params.window.y;
      if (above > down || before > aside) { continue; }
      let row = (down - above) / params.stride.x;
      let column = (aside - before) / params.stride.y;
      if (row * params.stride.x != down - above || column * params.stride.y != aside - before) { continue; }
      if (row >= params.places.x || column >= params.places.y) { continue; }
      let at = ((image * params.places.x + row) * params.places.y + column) * params.width + i % params.width;
      let value = Element(dy[at]);
      if (maximum) { total += select(Element(), value, winners[at] == Tap(tap)); } else { total += value; }
    }
    dx[i] = Stored(total * params.scale);
  }
}
