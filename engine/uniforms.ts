import { d, writeToArrayBuffer } from "typegpu";
import { ValidationError } from "./errors.ts";
import type { KernelParams, ParamsSchema } from "./kernel.ts";

/** Uniform bytes in the layout of the schema. @throws ValidationError if a field is missing or unknown */
export function uniformBytes(kernel: string, schema: ParamsSchema, params: KernelParams): ArrayBuffer {
  const fields = Object.keys(schema.propTypes);
  for (const name of new Set([...fields, ...Object.keys(params)])) {
    if (!fields.includes(name) || params[name] === undefined) {
      throw new ValidationError(
        `kernel ${kernel}: uniform field ${name} is ${fields.includes(name) ? "missing" : "unknown"}; expected ${fields.join(", ")}`,
      );
    }
  }
  const bytes = new ArrayBuffer(d.sizeOf(schema));
  writeToArrayBuffer(bytes, schema, params);
  return bytes;
}
