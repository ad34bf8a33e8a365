import { biases, component, epilogue, placeOfGroup, productHead, repeat, unfoldFunction } from "./product_text.ts";

const rows = 8; // of one invocation

/** WGSL of the form without subgroups or shared memory. */
export function registerText(name: string): string {
  return `// y = epilogue(A B): each invocation computes ${rows} rows × 4 columns in registers, without subgroups or shared memory.
// A workgroup covers 64 rows × 32 columns; neighbours in x take neighbouring columns. All four transposes differ in strides only.
${productHead("any")}
const tileRows = ${rows}u; // of one invocation
const groupColumns = 8u; // invocations beside each other

@compute @workgroup_size(groupColumns, 8)
fn ${name}(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
${placeOfGroup("8u * tileRows", "4u * groupColumns")}  let firstRow = (group.y * 8u + local.y) * tileRows;
  // Rows and columns outside of the matrix repeat the last one, so that every load is in bounds.
  let rows = min(vec4u(firstRow) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let lowRows = min(vec4u(firstRow) + vec4u(4u, 5u, 6u, 7u), vec4u(params.rows - 1u));
  let columns = vec4u(group.x * 4u * groupColumns + local.x) + vec4u(0u, 1u, 2u, 3u) * groupColumns;
  let atA = batch * params.aBatch + begin * params.aDepth;
  var atUpper = vec4u(atA) + rows * params.aRow;
  var atLower = vec4u(atA) + lowRows * params.aRow;
  var atB = vec4u(batch * params.bBatch + begin * params.bDepth) + min(columns, vec4u(params.columns - 1u)) * params.bColumn;
  var sums: array<vec4f, tileRows>;
  var upperSums = vec4f();
  var lowerSums = vec4f();
  for (var k = begin; k < end; k++) {
    let right = vec4f(f32(b[atB.x]), f32(b[atB.y]), f32(b[atB.z]), f32(b[atB.w]));
    let upper = vec4f(f32(a[atUpper.x]), f32(a[atUpper.y]), f32(a[atUpper.z]), f32(a[atUpper.w]));
    let lower = vec4f(f32(a[atLower.x]), f32(a[atLower.y]), f32(a[atLower.z]), f32(a[atLower.w]));
    atUpper += params.aDepth;
    atLower += params.aDepth;
    atB += params.bDepth;
    if (keepRowSums) { upperSums += upper; lowerSums += lower; }
${repeat(rows, (i) => `    sums[${i}] = fma(vec4f(${i < 4 ? "upper" : "lower"}.${component(i % 4)}), right, sums[${i}]);\n`)}  }
  let columnBiases = biases_at(columns);
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    if (keepRowSums && group.x == 0u && local.x == 0u) { extra[group.z * params.rows + row] = Extra(upperSums.x); }
    let atRow = (group.z * params.rows + row) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.columns) { finish(sums[0][j], columnBiases[j], atRow + columns[j]); }
    }
    // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of eight.
    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }
    upperSums = vec4f(upperSums.yzw, lowerSums.x);
    lowerSums = vec4f(lowerSums.yzw, 0.0);
  }
}
${biases(false)}${epilogue(1)}${unfoldFunction}`;
}
