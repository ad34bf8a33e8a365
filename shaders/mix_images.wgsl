// Mixed images, in pairs b and B - 1 - b, each the other's partner: inside the box an image shows its partner (CutMix, arXiv
// 1905.04899), elsewhere it is blended with it (mixup, arXiv 1710.09412):
//   y[b, c, i, j] = blend x[b, c, i, j] + (1 - blend) x[B - 1 - b, c, i, j], in the box x[B - 1 - b, c, i, j].
// One invocation per place of a pair, four columns wide where they divide; the grid strides over them.
alias Element = vec4f; // f32 where the columns are not a multiple of 4
const steps = vec4f(0.0, 1.0, 2.0, 3.0); // columns of an Element; 0.0 of a single one
const width = 4u; // columns in an Element
struct Params { images: u32, rows: u32, columns: u32, plane: u32 } // pixels high; Elements wide; Elements per image
struct Mixing { blend: f32, share: f32, top: f32, left: f32, bottom: f32, right: f32 } // the box is half open
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<Element>;
@group(0) @binding(2) var<storage, read> mixing: Mixing;
@group(0) @binding(3) var<storage, read_write> y: array<Element>;

@compute @workgroup_size(64)
fn mix_images(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let mix = mixing;
  let rest = 1.0 - mix.blend;
  let count = (params.images + 1u) / 2u * params.plane;
  for (var i = id.x; i < count; i += groups.x * 64u) {
    let pair = i / params.plane;
    let place = i - pair * params.plane;
    let line = place / params.columns;
    let row = f32(line % params.rows);
    let column = Element(f32((place - line * params.columns) * width)) + Element(steps);
    // Outside the box's rows it has no columns.
    let right = select(mix.left, mix.right, row >= mix.top && row < mix.bottom);
    let inside = (column >= Element(mix.left)) & (column < Element(right));
    let other = (params.images - 1u - pair) * params.plane + place;
    let a = x[i];
    let b = x[other];
    y[i] = select(mix.blend * a + rest * b, b, inside);
    y[other] = select(mix.blend * b + rest * a, a, inside);
  }
}
