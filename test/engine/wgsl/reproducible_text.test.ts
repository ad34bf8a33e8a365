import { expect, it } from "vitest";
import { parseModule } from "../../../engine/wgsl/parse_module.ts";
import { reproducibleText } from "../../../engine/wgsl/reproducible.ts";
import { kernelTexts } from "./kernel_texts.ts";

const kernels = kernelTexts();

/** Products of matrices of WGSL, whose order is the compiler's. */
const refused: readonly string[] = ["conv.wgsl", "conv.wgsl of f32", "conv_weight.wgsl", "conv_weight.wgsl of f32"];

it.each([...kernels.keys()].filter((name) => !refused.includes(name)))(
  "gives %s one result, as a text that is WGSL",
  (name) => {
    const text = reproducibleText(kernels.get(name) ?? "");
    expect(parseModule(text).functions.length).toBeGreaterThan(0);
  },
);

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

it.each(refused)("refuses %s by what it cannot make so", (name) => {
  expect(() => reproducibleText(kernels.get(name) ?? "")).toThrow(
    /WGSL line \d+: \w+ of mat4x4<f32> has no canonical form/,
  );
});
