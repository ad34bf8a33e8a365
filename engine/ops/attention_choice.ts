import { OptionError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import type { Device } from "../run/device.ts";
import type { AttentionShape } from "./attention.ts";
import { type AttentionVariant, attentionVariants } from "./attention_kernels.ts";

/** The variant that the device takes: forced, measured, or the first of the built-in order that runs. */
export function chooseAttention(
  device: Device,
  shape: AttentionShape,
  trains: boolean,
  example: (program: Program, variant: AttentionVariant) => void,
): AttentionVariant {
  const runnable = attentionVariants.filter((variant) => variant.unsupported(device) === undefined);
  const find = (name: string): AttentionVariant => {
    const found = runnable.find((variant) => variant.name === name);
    if (!found)
      throw new OptionError(
        `attention: no variant ${name} runs here; choose from ${runnable.map((variant) => variant.name).join(", ")}`,
      );
    return found;
  };
  const names = defaultOrder(device).filter((name) => runnable.some((variant) => variant.name === name));
  return find(
    device.choose("attention", shapeClassOf(shape, trains), names, (program, name) => example(program, find(name))),
  );
}

/**
 * Best guess first. Measured on lavapipe with test/bench/attention: subgroups are faster than registers, and both far faster
 * than workgroup memory, whose loads and barriers a CPU pays for; on GPUs workgroup memory has the best reuse per load.
 */
function defaultOrder(device: Device): readonly string[] {
  return device.isSoftware ? ["subgroup", "register", "shared"] : ["shared", "register"];
}

/** Calls whose lengths round up to the same powers of two share one measurement. */
function shapeClassOf({ rows, heads, headDim, segments }: AttentionShape, trains: boolean): string {
  const bucket = (length: number): number => 2 ** Math.ceil(Math.log2(length));
  const tokens = Math.max(...segments.map((segment) => segment.tokens));
  return `${trains ? "training" : "forward"} ${headDim}d ${bucket(tokens)} tokens ${bucket(rows * heads)} rows`;
}
