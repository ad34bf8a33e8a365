import type { LeftLoads, SubgroupForm } from "./product_form.ts";
import { biases, component, epilogue, placeOfGroup, productHead, repeat, unfoldFunction } from "./product_text.ts";

/** WGSL of a form whose workgroups are one subgroup. */
export function subgroupText(name: string, form: SubgroupForm, left: LeftLoads): string {
  return left === "any" ? narrow(name, form) : wide(name, form, left);
}

function lanesOverride({ pinned }: SubgroupForm): string {
  const why = pinned ? "asked for, at least 8" : "every subgroup of the adapter has this size, at least 8";
  return `override lanes: u32 = 8u; // ${why}; the workgroup is one subgroup\n`;
}

function head(name: string, { rows, pinned }: SubgroupForm): string {
  return `
const tileRows = ${rows}u;

@compute @workgroup_size(lanes)${pinned ? " @subgroup_size(lanes)" : ""}
fn ${name}(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
${placeOfGroup("tileRows", "4u * lanes")}  let firstRow = group.y * tileRows;
`;
}

/** Rows of the tile that one lane loads: 8, and as many below, and so on. */
function lanesRows(rows: number): string {
  const steps = Array.from({ length: rows / 8 }, (_, i) => `${8 * i}u`).join(", ");
  const type = `vec${rows / 8}u`;
  return `  let rows = min(${type}(firstRow + lane % 8u) + ${type}(${steps}), ${type}(params.rows - 1u));\n`;
}

function keepRowSums(rows: number): string {
  const lines = repeat(rows / 8, (i) => {
    const c = component(i);
    return `    if (firstRow + lane + ${8 * i}u < params.rows) { extra[at + rows.${c}] = Extra(rowSums.${c}); }\n`;
  });
  return `  if (keepRowSums && group.x == 0u && lane < 8u) {
    let at = group.z * params.rows;
${lines}  }
`;
}

function narrow(name: string, form: SubgroupForm): string {
  const sum = (i: number): string => {
    const spread = (value: string): string => `vec4f(subgroupBroadcast(${value}.${component(i >> 3)}, ${i % 8}u))`;
    return `    sums[${i}] = fma(${spread("left2")}, right2, fma(${spread("left")}, right, sums[${i}]));\n`;
  };
  return `// y = epilogue(A B): one subgroup computes a tile of ${form.rows} rows × 4·lanes columns in registers.
// Lanes lie over the columns. Eight rows of A come with one load and are spread by broadcasts, because a software adapter pays
// for one load about as much as for forty multiply-adds. All four transposes differ in strides only.
${productHead("any", lanesOverride(form))}${head(name, form)}  // Lanes outside of the matrix repeat its last row or column, so that every load is in bounds.
${lanesRows(form.rows)}  let columns = vec4u(group.x * 4u * lanes + lane) + vec4u(0u, 1u, 2u, 3u) * lanes;
  var atA = vec2u(batch * params.aBatch + begin * params.aDepth) + rows * params.aRow;
  var atB = vec4u(batch * params.bBatch + begin * params.bDepth) + min(columns, vec4u(params.columns - 1u)) * params.bColumn;
  var sums: array<vec4f, tileRows>;
  var rowSums = vec2f();
  for (var k = begin; k < end; k += 2u) {
    // Two steps of the depth at once, so that a sum which does not fit in a register is fetched and put back once for both.
    // Behind an odd depth the second step adds zeros.
    let more = k + 1u < end;
    let nextA = atA + select(0u, params.aDepth, more);
    let nextB = atB + select(0u, params.bDepth, more);
    let right = vec4f(f32(b[atB.x]), f32(b[atB.y]), f32(b[atB.z]), f32(b[atB.w]));
    let left = vec2f(f32(a[atA.x]), f32(a[atA.y]));
    let right2 = select(vec4f(), vec4f(f32(b[nextB.x]), f32(b[nextB.y]), f32(b[nextB.z]), f32(b[nextB.w])), more);
    let left2 = select(vec2f(), vec2f(f32(a[nextA.x]), f32(a[nextA.y])), more);
    atA += 2u * params.aDepth;
    atB += 2u * params.bDepth;
    if (keepRowSums) { rowSums += left + left2; }
${repeat(form.rows, sum)}  }
${keepRowSums(form.rows)}  let columnBiases = biases_at(columns);
  // The rows leave one at a time while the others move up: one copy of the epilogue in the code instead of ${form.rows}.
  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    let atRow = (group.z * params.rows + row) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (columns[j] < params.columns) { finish(sums[0][j], columnBiases[j], atRow + columns[j]); }
    }
    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }
  }
}
${biases(false)}${epilogue(1)}${unfoldFunction}`;
}

/** The rows on their way to memory, by one copy of the epilogue. */
function wideRows({ rows, pinned }: SubgroupForm): string {
  // A GPU would keep an indexed array in memory, which a software adapter does with most sums anyway.
  const [before, next, after] = pinned
    ? ["", "sums[0]", "    for (var i = 1u; i < tileRows; i++) { sums[i - 1u] = sums[i]; }\n"]
    : ["  var kept = sums;\n", "kept[row - firstRow]", ""];
  const why = pinned ? "The rows leave one at a time while the others move up" : "The rows leave one at a time";
  return `  // ${why}: one copy of the epilogue in the code instead of ${rows}.
  // Counted from firstRow, because lavapipe unrolls a loop of at most tileRows turns, which takes seconds to compile.
${before}  let lastRow = min(firstRow + tileRows, params.rows);
  for (var row = firstRow; row < lastRow; row++) {
    if (wanted < params.columns) {
      finish_four(${next}, columnBiases, (group.z * params.rows + row) * params.columns + column);
    }
${after}  }
`;
}

function wide(name: string, form: SubgroupForm, left: LeftLoads): string {
  const lefts = form.rows / 8; // loads of A, eight rows each
  const atA = `vec${lefts}u`;
  const leftOf = (i: number): string => {
    const at = `atA.${component(i)}`;
    if (left === "depth") return `    let left${i} = vec4f(a[${at}]);\n`;
    const elements = repeat(3, (step) => `, f32(a[${at} + ${step + 1}u * params.aDepth])`);
    return `    let left${i} = vec4f(f32(a[${at}])${elements});\n`;
  };
  const rowSums = Array.from({ length: lefts }, (_, i) => `dot(left${i}, vec4f(1.0))`).join(", ");
  const sum = (i: number): string =>
    `    sums[${i}] = add_products(subgroupBroadcast(left${i >> 3}, ${i % 8}u), right, sums[${i}]);\n`;
  return `// y = epilogue(A B), loads of four numbers: one subgroup computes a tile of ${form.rows} rows × 4·lanes columns in registers, four steps
// of the depth at once. Lanes lie over the columns; eight rows of A come with one load and are spread by broadcasts. A software
// adapter pays for a load of four little more than for a load of one, and a sum that does not fit in a register is fetched and
// put back once for all four steps.${left === "depth" ? "" : " A is [depth, rows] and loaded one by one."}
${productHead(left, lanesOverride(form))}${head(name, form)}  // Lanes outside of the matrix repeat its last row or columns, so that every load is in bounds.
${lanesRows(form.rows)}  let wanted = 4u * (group.x * lanes + lane);
  let column = min(wanted, params.columns - 4u);
  var atA = ${left === "depth" ? "(" : ""}${atA}(batch * params.aBatch + begin * params.aDepth) + rows * params.aRow${left === "depth" ? ") / 4u" : ""};
  var atB = (batch * params.bBatch + begin * params.bDepth + column * params.bColumn) / 4u;
  let bStep = select(params.bDepth, params.bColumn, transposeB) / 4u; // from one load to the next
  var sums: array<vec4f, tileRows>;
  var rowSums = vec${lefts}f();
  for (var k = begin; k < end; k += 4u) {
${repeat(lefts, leftOf)}    atA += ${left === "depth" ? "1u" : "4u * params.aDepth"};
    var right = mat4x4f(vec4f(b[atB]), vec4f(b[atB + bStep]), vec4f(b[atB + 2u * bStep]), vec4f(b[atB + 3u * bStep]));
    if (transposeB) { right = transpose(right); }
    atB += select(4u * bStep, 1u, transposeB);
    if (keepRowSums) { rowSums += vec${lefts}f(${rowSums}); }
${repeat(form.rows, sum)}  }
${keepRowSums(form.rows)}  let columnBiases = biases_from(column);
${wideRows(form)}}

fn add_products(left: vec4f, right: mat4x4f, sum: vec4f) -> vec4f {
  return fma(vec4f(left.w), right[3], fma(vec4f(left.z), right[2], fma(vec4f(left.y), right[1], fma(vec4f(left.x), right[0], sum))));
}
${biases(true)}${epilogue(4)}${unfoldFunction}`;
}
