import { describe, expect, it } from "vitest";
import { reproducibleText } from "../../../engine/wgsl/reproducible.ts";
import { testDevice } from "../../device.ts";
import { kernelTexts } from "./kernel_texts.ts";
import { openOperations } from "./open_operations.ts";

const kernels = kernelTexts();

const device = await testDevice();

/** What the runtime's compiler says of a text. */
async function errorsOf(code: string): Promise<string[]> {
  device.gpu.pushErrorScope("validation");
  const { messages } = await device.gpu.createShaderModule({ code }).getCompilationInfo();
  await device.gpu.popErrorScope();
  return messages.filter(({ type }) => type === "error").map(({ message, lineNum }) => `line ${lineNum}: ${message}`);
}

describe("reproducibleText", () => {
  it.each([...kernels.keys()])("leaves nothing of %s to adapters", (name) => {
    const operands = name.startsWith("matmul") ? [undefined, { bindings: ["a", "b"] }] : [undefined];
    for (const each of operands) {
      expect(openOperations(reproducibleText(kernels.get(name) ?? "", each))).toEqual([]);
    }
  });

  it("tests products of attention by their factors, and leaves those that are added to a constant untested", () => {
    const operands = { bindings: ["qkv", "y", "dy"], computed: true };
    const forward = reproducibleText(kernels.get("attention_subgroup_wide.wgsl") ?? "", operands);
    expect(forward).not.toContain("canonical_product");
    expect(forward).toContain("canonical_operand_4(qkv[");
    expect(forward).not.toContain("canonical_operand_4(y["); // written there
    const gelu = reproducibleText(kernels.get("gelu.wgsl") ?? "");
    expect(gelu).toMatch(/canonical_kept_4\(\(canonical_kept_4\(\(0\.00007\d+f \* z\)\) - 0\.00079\d+f\)\)/);
    expect(gelu).toMatch(/canonical_product_4\(\([^\n]* \* u\)\) \+ u\)\)/); // u may be small
  });

  it("keeps all kernels such that the runtime compiles them", { timeout: 60_000 }, async () => {
    const errors: string[] = [];
    let compiled = 0;
    for (const [name, text] of kernels) {
      if ((await errorsOf(text)).length > 0) continue; // the device lacks a feature
      compiled++;
      errors.push(...(await errorsOf(reproducibleText(text))).map((error) => `${name} ${error}`));
    }
    expect(errors).toEqual([]);
    expect(compiled).toBeGreaterThan(120);
  });

  const kernel = (value: string): string => `struct Params { count: u32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<vec4f>;
    @group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      let a = x[id.x];
      y[id.x] = ${value};
    }`;

  it.each([
    ["sin", "sin(a)"],
    ["cos", "cos(a)"],
    ["tan", "tan(a)"],
    ["log2", "log2(a)"],
    ["fract", "fract(a)"],
    ["saturate", "saturate(a)"],
    ["normalize", "normalize(a)"],
    ["length", "vec4f(length(a))"],
    ["distance", "vec4f(distance(a, a))"],
    ["step", "step(a, a)"],
    ["smoothstep", "smoothstep(a, a, a)"],
    ["ldexp", "ldexp(a, vec4i(1))"],
    ["subgroupAdd", "subgroupAdd(a)"],
    ["pack2x16float", "bitcast<vec4f>(vec4u(pack2x16float(a.xy)))"],
    ["pack4x8unorm", "bitcast<vec4f>(vec4u(pack4x8unorm(a)))"],
    ["unpack2x16float", "vec4f(unpack2x16float(id.x), a.xy)"],
    ["unpack4x8unorm", "unpack4x8unorm(id.x)"],
  ])("refuses %s, which adapters round as they like, by name", (name, value) => {
    expect(() => reproducibleText(kernel(value))).toThrow(
      new RegExp(`WGSL line 7: ${name} of f32 has no canonical form, which the reproducible mode needs`),
    );
  });

  it.each([
    ["scalar * matrix", "(a.x * mat4x4f(a, a, a, a))[1]"],
    ["matrix * scalar", "(mat4x4f(a, a, a, a) * 2.0)[1]"],
    ["matrix - matrix", "(mat4x4f(a, a, a, a) - mat4x4f(a, a, a, a))[1]"],
  ])("refuses %s, which no kernel needs", (name, value) => {
    expect(() => reproducibleText(kernel(value))).toThrow(`WGSL line 7: ${name} of f32 has no canonical form`);
  });

  it.each([
    "a * a",
    "a + a",
    "a - a",
    "a / a",
    "sqrt(a)",
    "exp2(a)",
    "vec4f(id.xyzx)",
    "fma(a, a, a) - a",
    "sin(a)",
    "mat4x4f(a, a, a, a) * a",
    "a * mat4x4f(a, a, a, a)",
  ])("would tell if %s were left", (value) => {
    expect(openOperations(kernel(value)).length).toBeGreaterThan(0);
  });
});
