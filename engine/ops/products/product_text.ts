import type { LeftLoads } from "./product_form.ts";

/** Overrides that choose what happens to a sum; the same for all products and for the second pass of a split one. */
const epilogueOverrides = `override hasBias: bool = false; // + bias[column]
override activation: u32 = 0u; // 1: GELU; 2: times other[row, column] + 1/2
override addOther: bool = false; // + other[row, column]
override keepSlope: bool = false; // extra[row, column] = slope of GELU at the value before it, less 1/2
`;

/** Element types in memory and what {@link epilogue} reads and writes besides. */
function elementTypes(operands: Readonly<Record<string, string>>, four: string): string {
  const types = { Element: four, ...operands, Bias: four, Result: four, Extra: "f32" };
  return Object.entries(types)
    .map(([name, type]) => `alias ${name} = ${type};${name === "Element" ? " // of the functions of GELU" : ""}\n`)
    .join("");
}

/** Bindings in their order, from 0, the uniforms first. */
function bindings(...lines: readonly string[]): string {
  const written = ["y: array<Result>", "extra: array<Extra>"];
  const texts = [
    "var<uniform> params: Params",
    ...[...lines, "bias: array<Bias>", "other: array<Result>"].map((line) => `var<storage, read> ${line}`),
    ...written.map((line) => `var<storage, read_write> ${line}`),
  ];
  return texts.map((text, i) => `@group(0) @binding(${i}) ${text};\n`).join("");
}

/** Overrides, types, uniforms and bindings of a product. */
export function productHead(left: LeftLoads, more = ""): string {
  const isWide = left !== "any";
  const four = isWide ? "vec4f" : "f32";
  return `${more}${isWide ? "override transposeB: bool = false; // b is [columns, depth]\n" : ""}${epilogueOverrides}override keepRowSums: bool = false; // extra[row] = sum of that row of A
${elementTypes({ Left: left === "single" ? "f32" : four, Right: four }, four)}struct Params {${isWide ? " // depths and columns are multiples of 4" : ""}
  rows: u32, columns: u32, depth: u32,
  parts: u32, // results of the grid: batches times splits
  splits: u32, splitDepth: u32, // parts of the depth; their results lie behind each other in y, as batches do
  aRow: u32, aDepth: u32, aBatch: u32, // strides in elements; swapped for a transposed operand, 0 for a shared batch
  bDepth: u32, bColumn: u32, bBatch: u32,
}
${bindings("a: array<Left>", "b: array<Right>")}`;
}

/** The same for the sum of the parts of a split product. */
export function sumHead(): string {
  return `${epilogueOverrides}${elementTypes({ Part: "f32" }, "f32")}struct Params { rows: u32, columns: u32, splits: u32, batches: u32 }
${bindings("parts: array<Part>")}`;
}

/** Where a workgroup is, and which part of the depth it sums; `tile` names rows and columns of its tile. */
export function placeOfGroup(tileRows: string, tileColumns: string): string {
  return `  let across = vec2u((params.columns + ${tileColumns} - 1u) / (${tileColumns}), (params.rows + ${tileRows} - 1u) / (${tileRows}));
  let group = unfold(workgroup, grid, across);
  if (group.z >= params.parts) { return; }
  let batch = group.z / params.splits;
  let begin = (group.z % params.splits) * params.splitDepth;
  let end = min(begin + params.splitDepth, params.depth);
`;
}

/** What happens to a sum on its way to memory, in vectors of one or four columns, and the functions that it needs. */
export function epilogue(width: 1 | 4): string {
  const isWide = width === 4;
  const type = isWide ? "vec4f" : "f32";
  const at = isWide ? "at / 4u" : "at";
  const keep = isWide
    ? "for (var j = 0u; j < 4u; j++) { extra[at + j] = Extra(slope[j]); }"
    : "extra[at] = Extra(slope);";
  return `
fn ${isWide ? "finish_four" : "finish"}(sum: ${type}, columnBias: ${type}, at: u32) {
  var value = sum;
  if (hasBias) { value += columnBias; }
  if (keepSlope) {
    let slope = gelu_slope(value) - 0.5;
    ${keep}
  }
  if (activation == 1u) { value *= normal_cdf(value); }
  if (activation == 2u) { value *= ${type}(other[${at}]) + 0.5; }
  if (addOther) { value += ${type}(other[${at}]); }
  y[${at}] = Result(value);
}
${geluFunctions}`;
}

/** Biases of four columns, read once for all rows of a tile. */
export function biases(isWide: boolean): string {
  return isWide
    ? `
fn biases_from(column: u32) -> vec4f {
  if (!hasBias) { return vec4f(); }
  return vec4f(bias[column / 4u]);
}
`
    : `
fn biases_at(columns: vec4u) -> vec4f {
  if (!hasBias) { return vec4f(); }
  let at = min(columns, vec4u(params.columns - 1u));
  return vec4f(f32(bias[at.x]), f32(bias[at.y]), f32(bias[at.z]), f32(bias[at.w]));
}
`;
}

/** As shaders/gelu.wgsl has them. */
const geluFunctions = `
// d gelu / dx = cdf(x) + x phi(x), cdf and phi of the standard normal distribution; gelu(x) = x cdf(x).
fn gelu_slope(x: Element) -> Element {
  let u = min(abs(x), Element(14.0)); // phi(14) is 0 in f32; keeps the square finite
  return normal_cdf(x) + x * (0.39894228 * exp2(-0.72134752 * u * u));
}

fn normal_cdf(x: Element) -> Element {
  return 0.5 + 0.5 * erf(x * 0.70710678);
}

// Within 8e-8 of erf, as derived in gelu.wgsl.
fn erf(x: Element) -> Element {
  let u = min(abs(x), Element(4.0)); // erf(4) is 1 in f32
  let z = u * u;
  let inner = ((((((7.6471100e-5 * z - 7.9423538e-4) * z + 5.1797493e-3) * z - 2.6848592e-2) * z + 1.1283430e-1) * z
    - 3.7612605e-1) * z + 1.2837915e-1) * u + u;
  let p = (((((1.4518470e-4 * u - 3.0638007e-3) * u + 2.6850788e-2) * u - 1.3923740e-1) * u - 9.3136382e-1) * u
    - 1.6197347) * u - 2.0131669e-3;
  return sign(x) * select(1.0 - exp2(p), inner, u < Element(1.0));
}
`;

/** As other shaders have it. */
export const unfoldFunction = `
// The place of a workgroup in a grid of across.x × across.y × …, which may have been folded to fit the device (engine/ops/grid.ts).
// Workgroups beyond the end have to return.
fn unfold(workgroup: vec3u, grid: vec3u, across: vec2u) -> vec3u {
  let flat = workgroup.x + grid.x * (workgroup.y + grid.y * workgroup.z);
  let line = flat / across.x;
  return vec3u(flat - line * across.x, line % across.y, line / across.y);
}
`;

/** `line` for 0 … count - 1. */
export function repeat(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join("");
}

/** Component of a vector, by number. */
export function component(i: number): string {
  return "xyzw".charAt(i);
}
