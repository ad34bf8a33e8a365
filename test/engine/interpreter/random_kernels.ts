import fc from "fast-check";
import { d, tgpu } from "typegpu";
import { type Device, defineKernel, recordProgram } from "../../../engine/index.ts";

const layout = tgpu.bindGroupLayout({
  zero: { storage: d.arrayOf(d.u32) },
  x: { storage: d.arrayOf(d.f32) },
  n: { storage: d.arrayOf(d.u32) },
  y: { storage: d.arrayOf(d.u32), access: "mutable" },
});

const head = `
@group(0) @binding(0) var<storage, read> zero: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> n: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<u32>;
// A rounding step that no compiler can move: exclusive or with a zero that it does not know.
fn guard(v: f32) -> f32 { return bitcast<f32>(bitcast<u32>(v) ^ zero[0]); }
// A rounded number, without what adapters may treat as they like: 1 for NaN and infinities, a zero below the normal range.
fn rounded(v: f32) -> f32 {
  let bits = bitcast<u32>(v) ^ zero[0];
  let exponent = bits & 0x7f800000u;
  return bitcast<f32>(select(select(bits, bits & 0x80000000u, exponent == 0u), 0x3f800000u, exponent == 0x7f800000u));
}
`;

/** Runs a kernel `main` of workgroups of 16 on `x` and `n`. @returns `y`, 64 words */
export async function runText(device: Device, text: string, x: Float32Array, n: Uint32Array): Promise<Uint32Array> {
  const kernel = defineKernel({ name: "main", source: head + text, layout });
  const program = recordProgram(device, (p) => {
    const y = p.empty([64], "u32");
    const operands = { zero: p.input("zero", [1], "u32"), x: p.input("x", [64]), n: p.input("n", [64], "u32"), y };
    p.dispatch(kernel, {}, operands, [4]);
    return { y };
  });
  try {
    const values = await (await program.run({ zero: [0], x, n }, ["y"])).read();
    return Uint32Array.from(values.y);
  } finally {
    program.destroy();
  }
}

/** A kernel that writes one expression of each element's x (`a`, `b`) and n (`k`, `m`). */
export function kernelOf(expression: string): string {
  return `@compute @workgroup_size(16) fn main(@builtin(global_invocation_id) id: vec3u) {
    let a = x[id.x];
    let b = x[63u - id.x];
    let k = n[id.x];
    let m = n[63u - id.x];
    y[id.x] = ${expression};
  }`;
}

interface Expressions {
  readonly f: string;
  readonly u: string;
  readonly i: string;
  readonly v: string;
  readonly w: string;
  readonly c: string;
}

/** Expressions of f32, u32, i32, vec3<f32>, vec3<u32> and bool, of every operation that has one result everywhere. */
const expressions = fc.letrec<Expressions>((tie) => {
  const of = (template: string): fc.Arbitrary<string> => {
    const parts = template.split(/(#[fuivwc])/);
    const pieces = parts.map((part) => (part[0] === "#" ? tie(part[1] as keyof Expressions) : fc.constant(part)));
    return fc.tuple(...pieces).map((list) => list.join(""));
  };
  const any = (leaves: readonly string[], templates: readonly string[]): fc.Arbitrary<string> =>
    fc.oneof({ maxDepth: 4, withCrossShrink: true }, ...leaves.map(of), ...templates.map(of));
  const arithmetic = (one: string): string[] => ["+", "-", "*"].map((sign) => `(${one} ${sign} ${one})`);
  const whole = (one: string): string[] => [
    ...arithmetic(one),
    ...["/", "%", "&", "|", "^"].map((sign) => `(${one} ${sign} ${one})`),
    ...["<<", ">>"].map((sign) => `(${one} ${sign} (#u & 31u))`),
    ...["min", "max"].map((name) => `${name}(${one}, ${one})`),
    ...["abs", "countOneBits", "firstLeadingBit", "firstTrailingBit", "countLeadingZeros", "reverseBits"].map(
      (name) => `${name}(${one})`,
    ),
    `select(${one}, ${one}, #c)`,
    `~${one}`,
  ];
  return {
    f: any(
      ["a", "b", "guard(1.5)", "f32(k & 15u)"],
      [
        ...arithmetic("#f").map((code) => `rounded(${code})`),
        "rounded(#f / #f)",
        "rounded(sqrt(abs(#f)))",
        ...["floor", "ceil", "trunc", "round", "abs", "sign", "-"].map((name) => `${name}(#f)`),
        "select(#f, #f, #c)",
        "rounded(min(#f, #f) + 1.0)", // which of 0 and -0 is the smaller is left open
        "#v.y",
        "guard(f32(#i))",
        "guard(f32(#u >> 1u))", // SwiftShader rounds some from 2^31 on to the second nearest
      ],
    ),
    // Numbers behind a zero that no compiler knows: constants that divide by 0 would not compile.
    u: any(["k", "m", "(7u ^ zero[0])"], [...whole("#u"), "bitcast<u32>(#f)", "u32(#i)", "#w.z", "dot(#w, #w)"]),
    i: any(
      ["i32(k)", "(i32(zero[0]) - 3i)"],
      [...whole("#i"), "i32(#u)", "(i32(clamp(#f, -1e6, 1e6)) ^ i32(zero[0]))", "-(#i)"],
    ),
    v: any(
      ["vec3f(a, b, 2.0)", "vec3f(b)"],
      ["vec3f(#f, #f, #f)", "#v.zxy", "floor(#v)", "select(#v, #v, #c)", "vec3f(#w & vec3u(255u))"],
    ),
    w: any(
      ["vec3u(k, m, 5u)"],
      ["vec3u(#u, #u, #u)", "(#w + #w)", "(#w * #u)", "#w.yzx", "bitcast<vec3u>(#v)", "(#w >> vec3u(3u))"],
    ),
    c: any(
      ["(k < m)", "(a > b)"],
      ["(#f < #f)", "(#u == #u)", "(#i >= #i)", "(#c && #c)", "(#c || #c)", "!#c", "all(#w == #w)", "any(#v < #v)"],
    ),
  };
});

/** Expressions of u32. */
export const randomExpression = fc.oneof(
  expressions.u,
  expressions.f.map((code) => `bitcast<u32>(${code})`),
  expressions.i.map((code) => `bitcast<u32>(${code})`),
);

/** The words, with every NaN as one: adapters differ in them. */
export function comparable(words: Uint32Array): Uint32Array {
  return words.map((word) => {
    const size = word & 0x7fffffff;
    return size > 0x7f800000 ? 0x7fc00000 : word;
  });
}
