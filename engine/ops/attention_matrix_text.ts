import { type AttentionTiling, attentionIndices, resultChunks } from "./attention_matrix_tiling.ts";
import { unfoldFunction } from "./products/product_text.ts";

/** As other shaders of attention have it. */
const placeFunction = `struct Place { firstRow: u32, tokens: u32, firstToken: u32 } // an image in qkv, and the first token of a tile of it

fn placeOf(tile: u32, tileRows: u32) -> Place {
  let passed = select(vec3u(0u), vec3u(1u), vec3u(tile) >= params.firstTile.yzw);
  let segment = passed.x + passed.y + passed.z;
  let tokens = params.tokens[segment];
  let tilesPerImage = (tokens + tileRows - 1u) / tileRows;
  let local = tile - params.firstTile[segment];
  return Place(params.firstRow[segment] + local / tilesPerImage * tokens, tokens, local % tilesPerImage * tileRows);
}
`;

/**
 * The WGSL text of a forward kernel of attention with subgroup matrices, with the bindings of the others that load four numbers at once.
 *
 * @param pins - whether the size of the subgroups is pinned, which needs `subgroup-size-control`
 */
export function attentionMatrixText(name: string, tiling: AttentionTiling, pins: boolean): string {
  const { shape, subgroups, matrices, subgroupSize, invocations, headDim, rows, keys, dims, parts } = tiling;
  const { component, depth, columns } = shape;
  const index = attentionIndices(tiling);
  const [rowMatrices, queryMatrices] = [range(matrices), range(dims / depth)];
  const queries = rowMatrices.flatMap((r) => queryMatrices.map((d) => ({ name: `query_${r}_${d}`, r, d: d * depth })));
  const sums = rowMatrices.flatMap((r) => range(dims / columns).map((c) => ({ name: `sum_${r}_${c}`, r, c })));
  return `// y = softmax(scale q kT) v as in attention_shared, with matrices that a subgroup multiplies at once: ${shape.rows} × ${columns} × ${depth}, ${component} with sums of f32.
// ${subgroups} subgroups of ${subgroupSize} share the keys and values; each keeps ${tiling.ownRows} queries in matrices and passes over ${keys} keys at a time. Weights are
// exp(score - base) in ${component}: the base of a row lies 10 doublings below its largest score, so that weights down to 2^-24 of the largest are normal
// numbers of f16, and it moves only when a score passes it by 15 doublings, since moving it sends the result through workgroup memory.
override keepLogSums: bool = true;
const headDim = ${headDim}u;
alias Operand = vec4f;
struct Params {
  tiles: u32, heads: u32, scale: f32,
  depth: u32, // headDim / 4 again
  firstTile: vec4u, firstRow: vec4u, tokens: vec4u, // of up to four segments: runs of images with equally many tokens
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<Operand>;
@group(0) @binding(2) var<storage, read_write> y: array<Operand>;
@group(0) @binding(3) var<storage, read_write> logSums: array<f32>;

alias LeftMatrix = subgroup_matrix_left<${component}, ${depth}, ${shape.rows}>;
alias RightMatrix = subgroup_matrix_right<${component}, ${columns}, ${depth}>;
alias SumMatrix = subgroup_matrix_result<f32, ${columns}, ${shape.rows}>;
const masked = -1e30; // below every score, yet finite: compilers assume that there is no infinity
const doubling = 0.69314718; // ln 2
const rowParts = ${parts}u; // invocations that share a row
var<workgroup> tile: array<${component}, ${Math.max(rows, 2 * keys) * tiling.strideTile}>; // queries; then keys, and values behind them
var<workgroup> scores: array<f32, ${rows * tiling.strideScores}>; // [query][key]; or a part of the result
var<workgroup> weights: array<${component}, ${rows * tiling.strideWeights}>; // [query][key]
var<workgroup> shrinks: array<f32, ${rows}>; // by which the result of a row shrinks when its base moves
var<workgroup> bases: array<f32, ${rows * parts}>; // of each invocation of a row
var<workgroup> totals: array<f32, ${rows * parts}>; // of the weights that each invocation computed
var<workgroup> moves: array<u32, ${subgroups}>; // whether a subgroup saw a base move
${placeFunction}
@compute @workgroup_size(${invocations})${pins ? ` @subgroup_size(${subgroupSize})` : ""}
fn ${name}(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let group = unfold(workgroup, grid, vec2u(params.tiles, params.heads));
  if (group.z > 0u) { return; }
  let place = placeOf(group.x, ${rows}u);
  let tokens = place.tokens;
  let last = tokens - 1u;
  let head = group.y;
  let width = params.heads * params.depth;
  let stride = 3u * width; // of one row of qkv: q, k and v of all heads
  let firstQuery = place.firstRow * stride + head * params.depth;
  let firstKey = firstQuery + width;
  let ownRow = ${index.ownRow};
  let part = ${index.part};
  // Rows past the last token repeat it, so that every load is in bounds.
  for (var i = index; i < ${index.countQueries}; i += ${invocations}) {
${vectorIn(index)}
${keepFour(component, index.toTile, "firstQuery + min(place.firstToken + rowIn, last) * stride")}
  }
  for (var row = index; row < ${rows * parts}; row += ${invocations}) {
    bases[row] = masked;
    totals[row] = 0.0;
  }
  workgroupBarrier();
${lines(queries, (query) => `  let ${query.name} = ${load("LeftMatrix", "tile", index.query(query.r, query.d), tiling.strideTile)};`)}
${lines(sums, (sum) => `  var ${sum.name} = SumMatrix();`)}
  for (var j = 0u; j < tokens; j += ${keys}) {
    workgroupBarrier();
    for (var i = index; i < ${index.countKeys}; i += ${invocations}) {
${vectorIn(index)}
${keepFour(component, index.toTile, "firstKey + min(j + rowIn, last) * stride")}
${keepFour(component, index.toValues, "firstKey + width + min(j + rowIn, last) * stride")}
    }
    workgroupBarrier();
${scoreText(tiling, index, rowMatrices, queryMatrices)}
    workgroupBarrier();
    var hasMoved = false;
    for (var row = ${index.firstRow}; row < ${index.endRow}; row += ${index.rowStep}) {
      let count = min(${keys}, tokens - j);
      var top = masked;
      for (var t = 0u; t < count; t++) { top = max(top, params.scale * scores[${index.atScores} + t]); }
      let before = bases[${index.atPart}];
      let base = select(before, top - 10.0 * doubling, top - before > 15.0 * doubling);
      let shrink = exp(before - base);
      var total = totals[${index.atPart}] * shrink;
      for (var t = part; t < ${keys}; t += ${parts}) {
        let weight = select(0.0, exp(params.scale * scores[${index.atScores} + t] - base), t < count);
        weights[${index.atWeights} + t] = ${component}(weight);
        total += weight;
      }
      bases[${index.atPart}] = base;
      totals[${index.atPart}] = total;
      if (part == 0u) { shrinks[row] = shrink; }
      hasMoved = hasMoved || base != before;
    }
    let anyMoved = subgroupAny(hasMoved);
    if (subgroupElect()) { moves[subgroup] = u32(anyMoved); }
    let moved = workgroupUniformLoad(&moves);
    if (j > 0u && ${range(subgroups)
      .map((s) => `moved[${s}]`)
      .join(" + ")} > 0u) {
${resultChunks(tiling)
  .map((chunk) => shrinkText(tiling, index, chunk))
  .join("\n")}
    }
${valueText(tiling, index, rowMatrices)}
  }
  workgroupBarrier();
  if (keepLogSums) {
    for (var row = index; row < min(${rows}, tokens - place.firstToken); row += ${invocations}) {
      logSums[(place.firstRow + place.firstToken + row) * params.heads + head] = bases[row * ${parts}] + log(total_of(row));
    }
  }
${resultChunks(tiling)
  .map((chunk) => resultText(tiling, index, chunk))
  .join("\n")}
}

fn total_of(row: u32) -> f32 {
  var total = 0.0;
  for (var part = 0u; part < rowParts; part++) { total += totals[row * rowParts + part]; }
  return total;
}
${unfoldFunction}`;
}

type Indices = ReturnType<typeof attentionIndices>;

function load(type: string, memory: string, offset: string, stride: number, order = "row_major"): string {
  return `subgroupMatrixLoad<${type}, ${order}>(&${memory}, ${offset}, ${stride})`;
}

/** Where vector i of a tile belongs. */
function vectorIn(index: Indices): string {
  return `      let rowIn = ${index.rowIn};
      let vectorIn = ${index.vectorIn};
      let isThere = ${index.hasVector};`;
}

/** Stages it, or zeros where the head has no such dimensions. */
function keepFour(component: string, to: string, row: string): string {
  return `      {
        var four = vec4f();
        if (isThere) { four = vec4f(qkv[${row} + vectorIn]); }
        let to = ${to};
        tile[to] = ${component}(four.x);
        tile[to + 1u] = ${component}(four.y);
        tile[to + 2u] = ${component}(four.z);
        tile[to + 3u] = ${component}(four.w);
      }`;
}

/** Products of the queries with the keys of a step, into `scores`. */
function scoreText(tiling: AttentionTiling, index: Indices, rowMatrices: number[], queryMatrices: number[]): string {
  const { shape, keys, strideTile, strideScores } = tiling;
  return range(keys / shape.columns)
    .map((c) => {
      const steps = queryMatrices.map((d) => {
        const key = load("RightMatrix", "tile", index.key(c * shape.columns, d * shape.depth), strideTile, "col_major");
        return `      key = ${key};\n${lines(rowMatrices, (r) => `      score_${r} = subgroupMatrixMultiplyAccumulate(query_${r}_${d}, key, score_${r});`)}`;
      });
      return `    {
      var key: RightMatrix;
${lines(rowMatrices, (r) => `      var score_${r} = SumMatrix();`)}
${steps.join("\n")}
${lines(rowMatrices, (r) => `      ${store(index.score(r, c * shape.columns), `score_${r}`, strideScores)}`)}
    }`;
    })
    .join("\n");
}

/** Products of the weights with the values of a step, added to the result. */
function valueText(tiling: AttentionTiling, index: Indices, rowMatrices: number[]): string {
  const { shape, keys, dims, strideTile, strideWeights } = tiling;
  return range(keys / shape.depth)
    .map((k) => {
      const steps = range(dims / shape.columns).map((c) => {
        const value = load("RightMatrix", "tile", index.value(k * shape.depth, c * shape.columns), strideTile);
        return `      value = ${value};\n${lines(rowMatrices, (r) => `      sum_${r}_${c} = subgroupMatrixMultiplyAccumulate(weight_${r}, value, sum_${r}_${c});`)}`;
      });
      return `    {
      var value: RightMatrix;
${lines(rowMatrices, (r) => `      let weight_${r} = ${load("LeftMatrix", "weights", index.weight(r, k * shape.depth), strideWeights)};`)}
${steps.join("\n")}
    }`;
    })
    .join("\n");
}

interface Chunk {
  readonly first: number;
  readonly length: number;
}

/** Matrices of a part of the result, and their places in the memory of the scores. */
function chunkMatrices({ shape, matrices }: AttentionTiling, index: Indices, { first, length }: Chunk) {
  return range(matrices).flatMap((r) =>
    range(length / shape.columns).map((c) => ({
      sum: `sum_${r}_${first / shape.columns + c}`,
      at: index.score(r, c * shape.columns),
    })),
  );
}

/** Multiplies a part of the result by the factors of its rows. */
function shrinkText(tiling: AttentionTiling, index: Indices, chunk: Chunk): string {
  const { rows, invocations, strideScores } = tiling;
  const own = chunkMatrices(tiling, index, chunk);
  return `${lines(own, ({ sum, at }) => `      ${store(at, sum, strideScores)}`)}
      workgroupBarrier();
      for (var e = index; e < ${rows * chunk.length}; e += ${invocations}) {
        let row = e / ${chunk.length};
        scores[${index.atScores} + e % ${chunk.length}] *= shrinks[row];
      }
      workgroupBarrier();
${lines(own, ({ sum, at }) => `      ${sum} = ${load("SumMatrix", "scores", at, strideScores)};`)}
      workgroupBarrier();`;
}

/** Writes a part of the result. */
function resultText(tiling: AttentionTiling, index: Indices, chunk: Chunk): string {
  const { rows, invocations, strideScores, headDim } = tiling;
  const own = chunkMatrices(tiling, index, chunk);
  return `  workgroupBarrier();
${lines(own, ({ sum, at }) => `  ${store(at, sum, strideScores)}`)}
  workgroupBarrier();
  for (var e = index; e < ${(rows * chunk.length) / 4}; e += ${invocations}) {
    let row = e / ${chunk.length / 4};
    let vector = ${chunk.first / 4} + e % ${chunk.length / 4};
    let token = place.firstToken + row;
    if (token < tokens && vector < ${headDim / 4}) {
      let at = ${index.atScores} + e % ${chunk.length / 4} * 4;
      let four = vec4f(scores[at], scores[at + 1], scores[at + 2], scores[at + 3]);
      y[(place.firstRow + token) * width + head * params.depth + vector] = Operand(four / total_of(row));
    }
  }`;
}

function store(at: string, sum: string, stride: number): string {
  return `subgroupMatrixStore<row_major>(&scores, ${at}, ${sum}, ${stride});`;
}

function lines<T>(items: readonly T[], line: (item: T) => string): string {
  return items.map(line).join("\n");
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
