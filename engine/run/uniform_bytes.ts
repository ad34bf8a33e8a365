import { d, writeToArrayBuffer } from "typegpu";
import { ValidationError } from "../core/errors.ts";
import type { KernelParams, ParamsSchema } from "../core/kernel.ts";

const plainTypes: Readonly<Record<string, d.AnyWgslData>> = {
  f32: d.f32,
  i32: d.i32,
  u32: d.u32,
  vec2f: d.vec2f,
  vec3f: d.vec3f,
  vec4f: d.vec4f,
  vec2i: d.vec2i,
  vec3i: d.vec3i,
  vec4i: d.vec4i,
  vec2u: d.vec2u,
  vec3u: d.vec3u,
  vec4u: d.vec4u,
};

const ownSchemas = new WeakMap<ParamsSchema, ParamsSchema>();

/** The same struct made by the TypeGPU of this package, which does not know the schemas of a caller's own copy. */
function ownSchema(kernel: string, schema: ParamsSchema): ParamsSchema {
  const known = ownSchemas.get(schema);
  if (known) return known;
  const fields = Object.entries(schema.propTypes).map(([name, { type }]): [string, d.AnyWgslData] => {
    const plain = plainTypes[type];
    if (!plain)
      throw new ValidationError(
        `kernel ${kernel}: uniform field ${name} is a ${type}; expected one of ${Object.keys(plainTypes).join(", ")}`,
      );
    return [name, plain];
  });
  const own: ParamsSchema = d.struct(Object.fromEntries(fields));
  ownSchemas.set(schema, own);
  return own;
}

/** Uniform bytes in the layout of the schema. @throws ValidationError if a field is missing, unknown, or neither a number nor a vector */
export function uniformBytes(kernel: string, schema: ParamsSchema, params: KernelParams): ArrayBuffer {
  const fields = Object.keys(schema.propTypes);
  for (const name of new Set([...fields, ...Object.keys(params)])) {
    if (!fields.includes(name) || params[name] === undefined) {
      throw new ValidationError(
        `kernel ${kernel}: uniform field ${name} is ${fields.includes(name) ? "missing" : "unknown"}; expected ${fields.join(", ")}`,
      );
    }
  }
  const own = ownSchema(kernel, schema);
  const bytes = new ArrayBuffer(d.sizeOf(own));
  writeToArrayBuffer(bytes, own, params);
  return bytes;
}
