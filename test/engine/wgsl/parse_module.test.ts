import { describe, expect, it } from "vitest";
import { parseModule } from "../../../engine/wgsl/parse_module.ts";
import type { Expression } from "../../../engine/wgsl/syntax.ts";
import { showType } from "../../../engine/wgsl/types.ts";
import { WgslError } from "../../../engine/wgsl/wgsl_error.ts";
import { kernelTexts } from "./kernel_texts.ts";

const kernels = kernelTexts();

describe("parseModule", () => {
  it.each([...kernels.keys()])("reads %s, with one entry point", (name) => {
    const { functions } = parseModule(kernels.get(name) ?? "");
    expect(functions.filter(({ workgroupSize }) => workgroupSize).length).toBe(1);
  });

  /** The value of `const it` in a function that has some names. */
  const expression = (text: string): Expression => {
    const module = parseModule(`struct Pair { first: vec2f, second: u32 }
      const whole = 3; const half = 0.5;
      fn twice(x: f32) -> f32 { return x * 2; }
      fn f(x: f32, v: vec4f, u: vec3u, m: mat4x4f, p: Pair, list: array<i32, 4>) { const other = 1u; let it = ${text}; }`);
    const statement = module.functions.find(({ name }) => name === "f")?.body.statements[1];
    if (statement?.kind !== "declare" || !statement.declaration.value) throw new Error(`no value: ${text}`);
    return statement.declaration.value;
  };

  it.each([
    ["1", "i32"],
    ["1.0", "f32"],
    ["1 + 2.5", "f32"],
    ["2h", "f16"],
    ["x * 2", "f32"],
    ["2 * v", "vec4<f32>"],
    ["v.zy", "vec2<f32>"],
    ["v.a", "f32"],
    ["m * v", "vec4<f32>"],
    ["m[1]", "vec4<f32>"],
    ["list[whole]", "i32"],
    ["p.first.y", "f32"],
    ["u >> vec3u(8)", "vec3<u32>"],
    ["1u << other >= 3", "bool"],
    ["v < vec4f(half)", "vec4<bool>"],
    ["select(1, x, x > whole)", "f32"],
    ["dot(v, v)", "f32"],
    ["vec3(1, 2.0, 3)", "vec3<f32>"],
    ["array(1u, 2u)[0]", "u32"],
    ["bitcast<vec4u>(v)", "vec4<u32>"],
    ["twice(1)", "f32"],
    ["max(0.0, x)", "f32"],
  ])("types %s as %s", (text, type) => {
    expect(showType(expression(text).type)).toBe(type);
  });

  it("binds operators as WGSL does", () => {
    expect(expression("1 - 2 - 3 * 4")).toMatchObject({
      kind: "convert",
      operand: { operator: "-", left: { operator: "-" }, right: { operator: "*" } },
    });
    expect(expression("-x * x < x && true")).toMatchObject({
      operator: "&&",
      left: { operator: "<", left: { operator: "*", left: { kind: "unary" } } },
    });
  });

  it("keeps the value of a number in the type that it becomes", () => {
    expect(expression("x + 0.1")).toMatchObject({ right: { value: Math.fround(0.1), type: { name: "f32" } } });
    expect(expression("0x1.8p-3")).toMatchObject({ value: 0.1875 });
    expect(expression("0xffu")).toMatchObject({ value: 255, type: { name: "u32" } });
    expect(expression("1e-3f")).toMatchObject({ value: Math.fround(0.001) });
  });

  it.each([
    ["fn f() {\n  let x = 1 +;\n}", "WGSL line 2: expected a value and found ;"],
    ["fn f() { let x = y; }", "WGSL line 1: y is not declared"],
    ["fn f(a: u32) -> f32 { return a; }", "WGSL line 1: expected f32 and found u32"],
    ["fn f(a: u32, b: f32) { let x = a + b; }", "WGSL line 1: expected u32 and found f32"],
    ["fn f(a: vec2f) { let x = a.z; }", "WGSL line 1: vec2<f32> has no member z"],
    ["fn f(a: f32) { let x = frexp(a); }", "WGSL line 1: frexp is not declared"],
    ["fn f() { g(); }\nfn g() { f(); }", "WGSL line 2: f needs itself"],
    ["texture t;", "WGSL line 1: texture begins no declaration"],
    ["fn f() {} /* block */", "WGSL line 1: expected a name and found /"],
    ["fn f() { let x = `; }", 'WGSL line 1: "`; }" is no part of WGSL here'],
    ["fn f() {", "WGSL line 1: the text ends before }"],
  ])("refuses %j by line", (text, message) => {
    expect(() => parseModule(text)).toThrow(WgslError);
    expect(() => parseModule(text)).toThrow(message);
  });
});
