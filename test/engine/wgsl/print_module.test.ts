import { expect, it } from "vitest";
import { parseModule } from "../../../engine/wgsl/parse_module.ts";
import { printModule } from "../../../engine/wgsl/print_module.ts";
import { kernelTexts } from "./kernel_texts.ts";

const kernels = kernelTexts();

it.each([...kernels.keys()])("prints %s as a text of the same tree", (name) => {
  const printed = printModule(parseModule(kernels.get(name) ?? ""));
  expect(printModule(parseModule(printed))).toBe(printed);
});

it("prints numbers as they are, in their types, and keeps the order of operations", () => {
  const text = `const third = 1.0 / 3;
    override size: u32 = 4u;
    var<workgroup> sums: array<f32, 2 * size>;
    fn f(x: f32) -> f32 { var y = x - (x - 0.1) * third; y /= -2; if (x > 1e20) { return 3e38; } return y; }`;
  expect(printModule(parseModule(text))).toBe(`const third = (1.0 / 3.0);
override size: u32 = 4u;
var<workgroup> sums: array<f32, (2u * size)>;
fn f(x: f32) -> f32 {
  var y: f32 = (x - ((x - 0.10000000149011612f) * third));
  y /= -(2);
  if ((x > 100000002004087730000f)) {
    return 3.0000000054977558e+38f;
  }
  return y;
}
`);
});
