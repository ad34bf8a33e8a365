import { type LeftLoads, type SharedForm, sharedTile } from "./product_form.ts";
import { biases, component, epilogue, placeOfGroup, productHead, repeat, unfoldFunction } from "./product_text.ts";
import { leftLoad, rightLoad } from "./shared_loads.ts";

/** WGSL of a form whose invocations share tiles in workgroup memory. */
export function sharedText(name: string, form: SharedForm, left: LeftLoads): string {
  const { across, down, depth, rowVectors, columnVectors, prefetch } = form;
  const [rows, columns] = sharedTile(form);
  const turns = turnsOf(form);
  const fetch = turns.map((turn) => turn.fetch(left)).join("");
  const isWide = left !== "any";
  return `// y = epilogue(A B): ${across} × ${down} invocations share tiles of A and B in workgroup memory, ${rows} rows × ${columns} columns; for GPUs.
// Each computes ${4 * rowVectors} × ${4 * columnVectors} values in registers that have names, because a driver may keep an indexed array in memory.
// Operands come in blocks of 4 × 4${isWide ? ", loaded four numbers at once" : "; all four transposes differ in strides only"}${prefetch ? ", the next ones while the present ones are multiplied" : ""}.
${productHead(left)}alias Kept = vec4f; // of the tiles: in f16 where the operands are
const tileDepth = ${depth}u;
const leftVectors = ${rows / 4}u; // vectors of four rows per depth of a tile
const rightVectors = ${columns / 4}u; // vectors of four columns
var<workgroup> tileA: array<Kept, tileDepth * leftVectors>;
var<workgroup> tileB: array<Kept, tileDepth * rightVectors>;

@compute @workgroup_size(${across}, ${down})
fn ${name}(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
${placeOfGroup("4u * leftVectors", "4u * rightVectors")}  let firstRow = group.y * 4u * leftVectors;
  let firstColumn = group.x * 4u * rightVectors;
  let startA = batch * params.aBatch;
  let startB = batch * params.bBatch;
${turns.map((turn) => turn.places(left)).join("")}${repeat(4 * rowVectors, (r) => repeat(columnVectors, (c) => `  var ${sum(r, c)} = vec4f();\n`))}${repeat(rowVectors, (r) => `  var rowSums${r} = vec4f();\n`)}${turns.map(({ next }) => `  var ${next}: mat4x4f;\n`).join("")}${prefetch ? `  var k = begin;\n${fetch.replace(/^ {2}/gm, "")}` : ""}  ${prefetch ? "while (k < end)" : "for (var k = begin; k < end; k += tileDepth)"} {
${prefetch ? "" : fetch}    workgroupBarrier(); // everybody has used the tiles before
${turns.map(({ keep }) => keep).join("")}    workgroupBarrier();
${prefetch ? `    k += tileDepth; // loads that arrive while this tile is multiplied\n${fetch}` : ""}    for (var d = 0u; d < tileDepth; d++) {
${multiply(form)}    }
  }
${finish(form, isWide)}}

// Where a tile of so many vectors per depth keeps one. Those of neighbouring depths are turned against each other, so that
// invocations which store blocks of neighbouring depths meet different memory banks.
fn place(depth: u32, vector: u32, vectors: u32) -> u32 {
  return depth * vectors + (vector ^ (depth / 4u % 4u * 2u));
}

fn keep_left(block: vec2u, values: mat4x4f) {
  let at = place(4u * block.x, block.y, leftVectors);
${repeat(4, (i) => `  tileA[at + ${i}u * leftVectors] = Kept(values[${i}]);\n`)}}

fn keep_right(block: vec2u, values: mat4x4f) {
  let at = place(4u * block.x, block.y, rightVectors);
${repeat(4, (i) => `  tileB[at + ${i}u * rightVectors] = Kept(values[${i}]);\n`)}}

// The block of a number, in a tile of so many vectors per depth: x counts fours of the depth, y vectors.
fn block_of(number: u32, vectors: u32, byDepth: bool) -> vec2u {
  let depths = tileDepth / 4u;
  return select(vec2u(number / vectors, number % vectors), vec2u(number % depths, number / depths), byDepth);
}

fn keep_row_sums(sums: vec4f, part: u32, row: u32) {
  for (var i = 0u; i < 4u; i++) {
    if (row + i < params.rows) { extra[part * params.rows + row + i] = Extra(sums[i]); }
  }
}
${leftLoad(left).text}${rightLoad(left).text}${biases(isWide)}${epilogue(isWide ? 4 : 1)}${unfoldFunction}`;
}

/** The sum of a row of the invocation and a vector of its columns. */
function sum(row: number, columns: number): string {
  return `sum${row}_${columns}`;
}

/** Blocks that the invocations of a workgroup load at one time, at most one each. */
interface Turn {
  /** Name of the variable that holds the block on its way. */
  readonly next: string;
  /** Declares what the invocation loads in this turn. */
  places(left: LeftLoads): string;
  fetch(left: LeftLoads): string;
  readonly keep: string;
}

/** Blocks of A first, then those of B, dealt to the invocations in their order. */
function turnsOf(form: SharedForm): Turn[] {
  const { across, down, depth } = form;
  const [rows, columns] = sharedTile(form);
  const invocations = across * down;
  const lefts = (rows / 4) * (depth / 4);
  const all = lefts + (columns / 4) * (depth / 4);
  return Array.from({ length: Math.ceil(all / invocations) }, (_, i) => {
    const first = i * invocations;
    const [from, to] = [Math.max(0, lefts - first), all - first];
    if (from >= invocations) return turnOf(i, "left", first, invocations);
    if (from === 0) return turnOf(i, "right", first - lefts, to < invocations ? to : invocations, invocations);
    return mixedTurn(i, first, from);
  });
}

/** @param count - how many of the invocations have a block */
function turnOf(i: number, side: "left" | "right", first: number, count: number, invocations = count): Turn {
  const [next, block] = [`next${i}`, `block${i}`];
  const only = count < invocations ? `if (index < ${count}u) ` : "";
  const braced = (text: string): string => (only ? `    ${only}{ ${text} }\n` : `    ${text}\n`);
  return {
    next,
    places: (left) => `  let ${block} = ${blockOf(side, left, numberOf(first))};\n`,
    fetch: (left) => braced(`${next} = ${fetchOf(side, left, block)};`),
    keep: braced(`keep_${side}(${block}, ${next});`),
  };
}

/** The first invocations load A, the others B. */
function mixedTurn(i: number, first: number, lefts: number): Turn {
  const [next, block, isLeft] = [`next${i}`, `block${i}`, `loadsA${i}`];
  return {
    next,
    places: (left) => {
      const blocks = `${blockOf("right", left, `index - ${lefts}u`)}, ${blockOf("left", left, numberOf(first))}`;
      return `  let ${isLeft} = index < ${lefts}u; // the others load B\n  let ${block} = select(${blocks}, ${isLeft});\n`;
    },
    fetch: (left) =>
      `    if (${isLeft}) { ${next} = ${fetchOf("left", left, block)}; } else { ${next} = ${fetchOf("right", left, block)}; }\n`,
    keep: `    if (${isLeft}) { keep_left(${block}, ${next}); } else { keep_right(${block}, ${next}); }\n`,
  };
}

function numberOf(first: number): string {
  return first === 0 ? "index" : `index + ${first}u`;
}

function blockOf(side: "left" | "right", left: LeftLoads, number: string): string {
  const { byDepth } = side === "left" ? leftLoad(left) : rightLoad(left);
  return `block_of(${number}, ${side}Vectors, ${byDepth})`;
}

function fetchOf(side: "left" | "right", left: LeftLoads, block: string): string {
  const [load, start, line] =
    side === "left" ? [leftLoad(left), "startA", "firstRow"] : [rightLoad(left), "startB", "firstColumn"];
  return `${load.name}(${start}, ${line} + 4u * ${block}.y, k + 4u * ${block}.x, end)`;
}

/** One step of the depth: a vector of rows times a vector of columns, for each pair of them. */
function multiply({ across, down, rowVectors, columnVectors }: SharedForm): string {
  const load = (side: string, tile: string, axis: string, vectors: string, step: number) => (i: number) =>
    `      let ${side}${i} = vec4f(${tile}[place(d, local.${axis}${i > 0 ? ` + ${i * step}u` : ""}, ${vectors})]);\n`;
  const lefts = repeat(rowVectors, load("left", "tileA", "y", "leftVectors", down));
  const rights = repeat(columnVectors, load("right", "tileB", "x", "rightVectors", across));
  const rowSums = repeat(rowVectors, (r) => `rowSums${r} += left${r}; `);
  const products = repeat(4 * rowVectors, (r) =>
    repeat(columnVectors, (c) => {
      const left = `left${r >> 2}.${component(r % 4)}`;
      return `      ${sum(r, c)} = fma(vec4f(${left}), right${c}, ${sum(r, c)});\n`;
    }),
  );
  return `${lefts}${rights}      if (keepRowSums) { ${rowSums}}\n${products}`;
}

function finish({ across, down, rowVectors, columnVectors }: SharedForm, isWide: boolean): string {
  const rows = 4 * rowVectors;
  const sums = Array.from({ length: rows * columnVectors }, (_, i) => sum(i % rows, Math.floor(i / rows)));
  const moves = sums.slice(1).map((name, i) => `${sums[i]} = ${name};`);
  const store = isWide
    ? `    if (line < params.rows && columns < params.columns) {
      finish_four(${sums[0]}, columnBiases, (group.z * params.rows + line) * params.columns + columns);
    }
`
    : `    let atRow = (group.z * params.rows + line) * params.columns;
    for (var j = 0u; j < 4u; j++) {
      if (line < params.rows && columns + j < params.columns) { finish(${sums[0]}[j], columnBiases[j], atRow + columns + j); }
    }
`;
  const bias = isWide
    ? "biases_from(min(columns, params.columns - 4u))"
    : "biases_at(vec4u(columns) + vec4u(0u, 1u, 2u, 3u))";
  const keeps = repeat(rowVectors, (r) => `    keep_row_sums(rowSums${r}, group.z, row + ${4 * down * r}u);\n`);
  return `  // The vectors leave one at a time while the others move up: one copy of the epilogue in the code instead of ${sums.length}.
  let row = firstRow + 4u * local.y;
  let column = firstColumn + 4u * local.x;
  let slots = select(0u, ${sums.length}u, row < params.rows && column < params.columns);
  var columnBiases: vec4f;
  for (var slot = 0u; slot < slots; slot++) {
    let columns = column + slot / ${rows}u * ${4 * across}u;
    let line = row + slot % ${rows}u / 4u * ${4 * down}u + slot % 4u;
    if (slot % ${rows}u == 0u) { columnBiases = ${bias}; }
${store}    ${moves.join(" ")}
  }
  if (keepRowSums && group.x == 0u && local.x == 0u) {
${keeps}  }
`;
}
