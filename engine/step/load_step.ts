// Runs an exported training step on any WebGPU device, in Node, Deno or a browser. The file stands alone: it imports nothing. A step
// is "MIMSTEP1", the length of the header (u64, little-endian), the header's SHA-256 (32 bytes), the header (JSON) and its parts one
// behind the other: WGSL texts, uniform values, start values of buffers. Nothing in it runs but the WGSL.
const arrays = { f32: Float32Array, f16: Uint16Array, u32: Uint32Array, i32: Int32Array, u8: Uint8Array } as const;
/** Values of a tensor; f16 travels as bit patterns. */
export type StepArray = Float32Array | Uint16Array | Uint32Array | Int32Array | Uint8Array;

type Code = "truncated" | "version" | "format" | "damaged" | "range" | "device" | "values" | "index";
/** What is wrong with the file of a step (its `code` says which kind), or with how the step was called. */
export class StepError extends Error {
  override readonly name = "StepError";
  readonly code: Code = "format";
}
function fail(code: Code, message: string): never {
  throw Object.assign(new StepError(`step: ${message}`), { code });
}

// The header's form: a text, a whole number (0) or any (0.5), a set of texts, a list of its first item, a table where there is a "*".
const tensor = { dtype: new Set(["f32", "f16", "u32", "i32", "u8"] as const), shape: [0], buffer: 0, offset: 0 }; // an input, output or state; offset in bytes
const bindings = [new Set(["uniform", "read-only-storage", "storage"] as const)]; // 0, 1, … of group 0
const form = {
  ...{ name: "", numbers: new Set(["any", "grid"] as const), metadata: { "*": "" } }, // grid: of the reproducible mode
  ...{ features: [""], subgroupSize: 0 }, // of WebGPU, that the kernels need; the one size of subgroups that they fit, or 0
  parts: [{ bytes: 0, sha256: "" }],
  buffers: [{ bytes: 0, usage: new Set(["storage", "uniform"] as const), part: 0 }], // part: start values; -1 for zeros
  kernels: [{ part: 0, entry: "", constants: { "*": 0.5 }, bindings }], // part: the WGSL; constants: values of its overrides
  submits: [[{ kernel: 0, workgroups: [0], ranges: [{ buffer: 0, offset: 0, bytes: 0 }] }]], // kernel -1: copies range 0 to 1
  ...{ inputs: { "*": tensor }, outputs: { "*": tensor }, state: { "*": tensor } },
  flags: [tensor], // u32 state that kernels set where an index lies outside its table
};
type TypedFields<T> = { readonly [K in keyof T]: Typed<T[K]> };
type TypedObject<T> = T extends { "*": infer V } ? Readonly<Record<string, Typed<V>>> : TypedFields<T>;
type TypedList<T> = T extends readonly (infer V)[] ? readonly Typed<V>[] : TypedObject<T>;
type Typed<T> = T extends ReadonlySet<infer V> ? V : TypedList<T>;
/** What a step says about itself. */
export type StepHeader = Typed<typeof form>;
export type StepTensor = Typed<typeof tensor>;

function check<T>(value: unknown, expected: T, where: string): asserts value is Typed<T> {
  const [given, wanted] = [value, expected].map((one) => (Array.isArray(one) ? "list" : typeof one));
  const fits = expected instanceof Set ? expected.has(value) : given === wanted && value !== null;
  if (!fits || (expected === 0 && !Number.isSafeInteger(value))) fail("format", `${where} is ${JSON.stringify(value)}`);
  if (expected instanceof Set || !(expected instanceof Object) || !(value instanceof Object)) return;
  const [fields, items] = [expected, value].map((one) => new Map<string, unknown>(Object.entries(one)));
  const every = Array.isArray(expected) ? expected[0] : fields?.get("*");
  for (const name of new Set([...(every === undefined ? Object.keys(expected) : []), ...Object.keys(value)]))
    check(items?.get(name), every ?? fields?.get(name), `${where}.${name}`);
}

const at = <T>(items: readonly T[], index: number): T => items[index] ?? fail("range", `there is no item ${index}`);
const onGrid = (x: number): number => (Math.abs(x) < 2 ** -102 ? Math.round(x * 2 ** 125) / 2 ** 125 : x); // "grid"
const sizeOf = ({ shape }: StepTensor): number => shape.reduce((product, length) => product * length, 1);
const bytesOf = (one: StepTensor): number => 4 * Math.ceil((sizeOf(one) * arrays[one.dtype].BYTES_PER_ELEMENT) / 4);
const hex = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes: Bytes) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
type Bytes = Uint8Array<ArrayBuffer>;

/** Reads a step and checks hashes and ranges. @throws StepError (`truncated`, `version`, `format`, `damaged`, `range`) */
export async function openStep(bytes: Bytes) {
  if (bytes.length < 48) fail("truncated", `${bytes.length} bytes are no step`);
  const magic = new TextDecoder().decode(bytes.subarray(0, 8));
  if (magic !== "MIMSTEP1") fail("version", `it begins with ${JSON.stringify(magic)}, expected MIMSTEP1`);
  let end = 48 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(8, true));
  if (end > bytes.length) fail("truncated", `its header ends at byte ${end} of ${bytes.length}`);
  const text = bytes.subarray(48, end);
  if ((await sha256(text)) !== hex(bytes.subarray(16, 48))) fail("damaged", "the hash of its header is another");
  const header: unknown = await new Response(text).json().catch(() => undefined); // what is no JSON fails the check
  check(header, form, "header");
  const parts: Bytes[] = [];
  for (const [i, part] of header.parts.entries()) {
    const data = bytes.subarray(end, end + part.bytes);
    if (data.length !== part.bytes) fail("truncated", `part ${i} ends at byte ${end + part.bytes} of ${bytes.length}`);
    if ((await sha256(data)) !== part.sha256) fail("damaged", `the hash of part ${i} is another`);
    end += parts.push(data) && part.bytes;
  }
  if (end !== bytes.length) fail("damaged", `${bytes.length - end} bytes stand behind its parts`);
  checkRanges(header);
  return { header, parts };
}

function checkRanges({ parts, buffers, kernels, submits, inputs, outputs, state, flags }: StepHeader): void {
  const within = (what: string, value: number, from: number, to: number): boolean =>
    (value >= from && value <= to) || fail("range", `${what} is ${value}, expected ${from} … ${to}`);
  const inBuffer = ({ buffer, offset, bytes }: { buffer: number; offset: number; bytes: number }): boolean =>
    within("the offset of a range", offset, 0, at(buffers, buffer).bytes - 1) &&
    within("the length of a range", bytes, 1, at(buffers, buffer).bytes - offset);
  for (const { part, bytes } of buffers)
    if (part !== -1) within("the length of a part", at(parts, part).bytes, bytes, bytes);
  for (const { part } of kernels) at(parts, part);
  for (const { kernel, ranges } of submits.flat()) {
    within("the surplus of ranges", ranges.length - (kernel < 0 ? 2 : at(kernels, kernel).bindings.length), 0, 0);
    ranges.forEach(inBuffer);
  }
  const tensors = [inputs, outputs, state, flags].flatMap((each): StepTensor[] => Object.values(each));
  for (const one of tensors) inBuffer({ ...one, bytes: bytesOf(one) });
}

/** Loads what `program.export()` or `mimrefine export-step` wrote onto a device with the features and subgroups that it names. @throws StepError */
export async function loadStep(device: GPUDevice, bytes: Bytes): Promise<LoadedStep> {
  const { header, parts } = await openStep(bytes);
  const missing = header.features.filter((feature) => !device.features.has(feature));
  if (missing.length > 0) fail("device", `its kernels need ${missing.join(", ")}; request the device with it`);
  const [size, { subgroupMinSize: least, subgroupMaxSize: most }] = [header.subgroupSize, device.adapterInfo ?? {}];
  if (size > 0 && (least !== size || most !== size))
    fail("device", `its kernels need subgroups of ${size}, and the device has ${least} to ${most}; export it there`);
  for (const filter of ["out-of-memory", "validation"] as const) device.pushErrorScope(filter);
  const made = await makeStep(device, header, parts).catch((cause: unknown) => String(cause));
  const errors = [await device.popErrorScope(), await device.popErrorScope()].flatMap((error) => error?.message ?? []);
  return made instanceof LoadedStep && !errors[0] ? made : fail("device", `it refuses the step: ${errors[0] ?? made}`);
}

async function makeStep(device: GPUDevice, header: StepHeader, parts: readonly Bytes[]): Promise<LoadedStep> {
  const buffers = header.buffers.map(({ bytes: size, usage, part }) => {
    const buffer = device.createBuffer({ size, usage: usage === "uniform" ? 0x48 : 0x8c }); // COPY_DST and UNIFORM; STORAGE, COPY_SRC
    if (parts[part]) device.queue.writeBuffer(buffer, 0, parts[part]);
    return buffer;
  });
  const compiled = header.kernels.map(async ({ part, entry: entryPoint, constants, bindings }) => {
    const entries = bindings.map((type, binding) => ({ binding, visibility: 4, buffer: { type } })); // COMPUTE
    const group = device.createBindGroupLayout({ entries });
    const module = device.createShaderModule({ code: new TextDecoder().decode(parts[part]) });
    const layout = device.createPipelineLayout({ bindGroupLayouts: [group] });
    const compute = { module, entryPoint, constants: { ...constants } };
    return { layout: group, pipeline: await device.createComputePipelineAsync({ layout, compute }) };
  });
  const kernels = await Promise.all(compiled);
  const launch = ({ kernel, ranges, workgroups: [x = 1, y, z] }: StepHeader["submits"][number][number]): Encode => {
    const resources = ranges.map(({ buffer, offset, bytes: size }) => ({ buffer: at(buffers, buffer), offset, size }));
    const [{ pipeline, layout }, [from, to], size] = [kernels[kernel] ?? {}, resources, ranges[0]?.bytes];
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    const group = layout && device.createBindGroup({ layout, entries });
    return (encoder) => {
      if (!layout && from && to)
        return encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, size);
      const pass = encoder.beginComputePass();
      if (pipeline) pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y, z);
      pass.end();
    };
  };
  const submits = header.submits.map((commands) => commands.map(launch));
  return new LoadedStep(device, header, buffers, submits);
}

type Encode = (encoder: GPUCommandEncoder) => void;
/** A step on a device: its state lasts from run to run, and goes with its `buffers`. */
export class LoadedStep {
  constructor(
    readonly device: GPUDevice,
    readonly header: StepHeader,
    readonly buffers: readonly GPUBuffer[],
    readonly submits: readonly (readonly Encode[])[],
  ) {}

  /** Uploads one array per input and submits the step once. @throws StepError (`values`, `device`) */
  async run(inputs: Readonly<Record<string, StepArray>>): Promise<void> {
    const names = new Set([...Object.keys(this.header.inputs), ...Object.keys(inputs)]);
    for (const name of names) this.write(name, inputs[name], this.header.inputs);
    this.device.pushErrorScope("validation");
    for (const commands of this.submits) {
      const encoder = this.device.createCommandEncoder();
      for (const encode of commands) encode(encoder);
      this.device.queue.submit([encoder.finish()]);
    }
    const error = await this.device.popErrorScope();
    if (error) fail("device", error.message);
  }

  /** Overwrites state, such as to go back to an earlier one. @throws StepError (`values`) */
  write(name: string, values: StepArray | undefined, tensors: StepHeader["state"] = this.header.state): void {
    const tensor = tensors[name] ?? fail("values", `there is no ${name}; expected ${Object.keys(tensors)}`);
    if (!(values instanceof arrays[tensor.dtype]) || values.length !== sizeOf(tensor))
      fail("values", `${name} has ${values?.length} values, expected ${tensor.dtype} [${tensor.shape}]`);
    const padded = new Uint8Array(bytesOf(tensor));
    const { buffer, byteOffset, byteLength } = this.header.numbers === "grid" ? values.map(onGrid) : values;
    padded.set(new Uint8Array(buffer, byteOffset, byteLength));
    this.device.queue.writeBuffer(at(this.buffers, tensor.buffer), tensor.offset, padded);
  }

  /** Copies an output or state to the host. @throws StepError (`values`; `index` where a kernel met a bad index) */
  async read(name: string): Promise<StepArray> {
    const { outputs, state, flags } = this.header;
    const tensor = outputs[name] ?? state[name] ?? fail("values", `there is no output or state ${name}`);
    const size = flags.reduce((sum, flag) => sum + bytesOf(flag), bytesOf(tensor));
    const staging = this.device.createBuffer({ size, usage: 0x9 }); // MAP_READ and COPY_DST
    const encoder = this.device.createCommandEncoder();
    let to = 0;
    for (const one of [tensor, ...flags]) {
      encoder.copyBufferToBuffer(at(this.buffers, one.buffer), one.offset, staging, to, bytesOf(one));
      to += bytesOf(one);
    }
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1); // READ
    const data = staging.getMappedRange().slice(0);
    staging.destroy();
    if (new Uint32Array(data, bytesOf(tensor)).some((flag) => flag)) fail("index", "an index is out of its table");
    return new arrays[tensor.dtype](data, 0, sizeOf(tensor));
  }
}
