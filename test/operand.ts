import type { Tensor } from "../engine/index.ts";

/** An operand of a drawn case by name. @throws Error if the case has none of that name */
export function operand(operands: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = operands[name];
  if (!tensor) throw new Error(`the case has no operand ${name}`);
  return tensor;
}
