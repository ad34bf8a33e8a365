import { expect, it } from "vitest";
import { parseModule } from "../../../engine/wgsl/parse_module.ts";
import { reproducibleText } from "../../../engine/wgsl/reproducible.ts";
import { kernelTexts } from "./kernel_texts.ts";

const kernels = kernelTexts();

it.each([...kernels.keys()])("gives %s one result, as a text that is WGSL", (name) => {
  const text = reproducibleText(kernels.get(name) ?? "");
  expect(parseModule(text).functions.length).toBeGreaterThan(0);
});
