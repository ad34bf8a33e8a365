import type { LeftLoads } from "./product_form.ts";

/** WGSL of a function that loads blocks of four rows of A, or four columns of B, times four steps of the depth. */
export interface BlockLoad {
  /** Of the function; one name has one text. */
  readonly name: string;
  readonly text: string;
  /** WGSL condition: neighbours in memory lie along the depth, so neighbouring invocations take neighbouring depths. */
  readonly byDepth: string;
}

const behind = "zeros behind the end of the depth";

/** @param left - how A is read */
export function leftLoad(left: LeftLoads): BlockLoad {
  switch (left) {
    case "any":
      return anyLoad("left");
    case "depth":
      return {
        name: "left_by_depth",
        byDepth: "true",
        text: `
// Four steps of the depth, as vectors over four rows; ${behind}.
fn left_by_depth(start: u32, row: u32, k: u32, end: u32) -> mat4x4f {
  if (k >= end) { return mat4x4f(); }
  let rows = min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let at = (vec4u(start + k) + rows * params.aRow) / 4u;
  return transpose(mat4x4f(vec4f(a[at.x]), vec4f(a[at.y]), vec4f(a[at.z]), vec4f(a[at.w])));
}
`,
      };
    case "rows":
      return {
        name: "left_by_rows",
        byDepth: "false",
        text: `
// Four steps of the depth, as vectors over four rows; ${behind}.
fn left_by_rows(start: u32, row: u32, k: u32, end: u32) -> mat4x4f {
  if (k >= end) { return mat4x4f(); }
  let at = (start + k * params.aDepth + min(row, params.rows - 4u)) / 4u;
  let step = params.aDepth / 4u;
  return mat4x4f(vec4f(a[at]), vec4f(a[at + step]), vec4f(a[at + 2u * step]), vec4f(a[at + 3u * step]));
}
`,
      };
    case "single":
      return {
        name: "left_singly",
        byDepth: "false",
        text: `
// Four steps of the depth, as vectors over four rows; ${behind}.
fn left_singly(start: u32, row: u32, k: u32, end: u32) -> mat4x4f {
  if (k >= end) { return mat4x4f(); }
  let at = vec4u(start + k * params.aDepth) + min(vec4u(row) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  let step = params.aDepth;
  return mat4x4f(four_rows(at), four_rows(at + step), four_rows(at + 2u * step), four_rows(at + 3u * step));
}

fn four_rows(at: vec4u) -> vec4f {
  return vec4f(f32(a[at.x]), f32(a[at.y]), f32(a[at.z]), f32(a[at.w]));
}
`,
      };
  }
}

/** @param left - how A is read; B is read by fours unless A is read in any order */
export function rightLoad(left: LeftLoads): BlockLoad {
  if (left === "any") return anyLoad("right");
  return {
    name: "right_by_fours",
    byDepth: "transposeB",
    text: `
// Four steps of the depth, as vectors over four columns; ${behind}.
fn right_by_fours(start: u32, column: u32, k: u32, end: u32) -> mat4x4f {
  if (k >= end) { return mat4x4f(); }
  let step = select(params.bDepth, params.bColumn, transposeB) / 4u;
  let at = (start + k * params.bDepth + min(column, params.columns - 4u) * params.bColumn) / 4u;
  let block = mat4x4f(vec4f(b[at]), vec4f(b[at + step]), vec4f(b[at + 2u * step]), vec4f(b[at + 3u * step]));
  if (transposeB) { return transpose(block); }
  return block;
}
`,
  };
}

/** One by one, along either axis. */
function anyLoad(side: "left" | "right"): BlockLoad {
  const [operand, lines, line, stride] =
    side === "left" ? (["a", "rows", "row", "aRow"] as const) : (["b", "columns", "column", "bColumn"] as const);
  const name = `${side}_one_by_one`;
  const loads = [..."xyzw"].map((c) => `f32(${operand}[at.${c}])`).join(", ");
  return {
    name,
    byDepth: `params.${operand}Depth == 1u`,
    text: `
// Four steps of the depth, as vectors over four ${lines}; ${behind}.
fn ${name}(start: u32, ${line}: u32, k: u32, end: u32) -> mat4x4f {
  // What is outside of the matrix repeats the last ${line}, so that every load is in bounds.
  let starts = vec4u(start) + min(vec4u(${line}) + vec4u(0u, 1u, 2u, 3u), vec4u(params.${lines} - 1u)) * params.${stride};
  return mat4x4f(${side}_step(starts, k, end), ${side}_step(starts, k + 1u, end), ${side}_step(starts, k + 2u, end), ${side}_step(starts, k + 3u, end));
}

fn ${side}_step(starts: vec4u, k: u32, end: u32) -> vec4f {
  let at = starts + vec4u(min(k, end - 1u) * params.${operand}Depth);
  return select(vec4f(), vec4f(${loads}), k < end);
}
`,
  };
}
