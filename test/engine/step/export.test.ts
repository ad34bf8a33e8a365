import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { gather, recordProgram, stepScalars } from "../../../engine/index.ts";
import { loadStep, openStep, StepError } from "../../../engine/step/load_step.ts";
import { testDevice } from "../../device.ts";
import { recordVitStep, vitBatch } from "../vit_step.ts";

const device = await testDevice();
const shape = { width: 16, depth: 2, heads: 2, tokens: 5, batch: 3, classes: 4 };
const scalars = (step: number) => stepScalars({ learningRate: 1e-3, step, beta1: 0.9, averageFactor: 0.5 });

const vit = recordVitStep(device, shape);
const state = Object.fromEntries(vit.parameters.tensors);
/** The step after one update by the engine. */
let bytes = new Uint8Array();

beforeAll(async () => {
  await vit.program.run({ ...vitBatch(shape, 0), scalars: scalars(1) });
  bytes = await vit.program.export({ state, metadata: { made: "by a test" } });
}, 60_000);

/** The file with another header, whose hash is right. */
async function withHeader(change: (header: Record<string, unknown>) => void): Promise<Uint8Array<ArrayBuffer>> {
  const end = 48 + Number(new DataView(bytes.buffer).getBigUint64(8, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(48, end)));
  change(header);
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(48);
  start.set(bytes.subarray(0, 8));
  new DataView(start.buffer).setBigUint64(8, BigInt(text.length), true);
  start.set(new Uint8Array(await crypto.subtle.digest("SHA-256", text)), 16);
  return new Uint8Array(await new Blob([start, text, bytes.subarray(end)]).arrayBuffer());
}

const codeOf = (opened: Promise<unknown>): Promise<string> =>
  opened.then(
    () => "opened",
    (error: unknown) => (error instanceof StepError ? error.code : String(error)),
  );

describe("an exported training step", () => {
  it("gives the bytes of the engine over several updates: losses and parameters", { timeout: 120_000 }, async () => {
    const step = await loadStep(device.gpu, bytes);
    expect(step.header.metadata).toEqual({ made: "by a test" });
    for (let update = 1; update < 4; update++) {
      const inputs = { ...vitBatch(shape, update), scalars: scalars(update + 1) };
      const readback = await vit.program.run(inputs, ["loss"]);
      await step.run(inputs);
      expect(await step.read("loss")).toEqual((await readback.read()).loss);
    }
    for (const [name, tensor] of vit.parameters.tensors) expect(await step.read(name)).toEqual(await tensor.read());
    for (const buffer of step.buffers) buffer.destroy();
  });

  it("begins where it was exported, each time that it is loaded, and goes back by writing its state", async () => {
    const [first, second] = [await loadStep(device.gpu, bytes), await loadStep(device.gpu, bytes)];
    const name = "0.qkv.weight";
    const before = await first.read(name);
    await first.run({ ...vitBatch(shape, 1), scalars: scalars(2) });
    expect(await first.read(name)).not.toEqual(before);
    expect(await second.read(name)).toEqual(before);
    first.write(name, before);
    expect(await first.read(name)).toEqual(before);
    for (const { buffers } of [first, second]) for (const buffer of buffers) buffer.destroy();
  });

  it("is the same file where the state is the same", async () => {
    const again = await loadStep(device.gpu, bytes);
    expect(again.header.parts.length).toBeGreaterThan(again.header.kernels.length);
    const [one, two] = [await vit.program.export(), await vit.program.export()];
    expect(one).toEqual(two);
    for (const buffer of again.buffers) buffer.destroy();
  });

  it("refuses inputs that it has not, that are missing, or of another type or length", async () => {
    const step = await loadStep(device.gpu, bytes);
    const inputs = { ...vitBatch(shape, 1), scalars: scalars(2) };
    await expect(step.run({ ...inputs, y: new Float32Array(1) })).rejects.toThrow(/no y; expected x,labels,scalars/);
    await expect(step.run({ ...inputs, x: new Float32Array(2) })).rejects.toThrow(
      /x has 2 values, expected f32 \[15,16\]/,
    );
    await expect(step.run({ x: inputs.x, scalars: scalars(2) })).rejects.toThrow(/labels has undefined values/);
    await expect(step.read("lost")).rejects.toThrow(/no output or state lost/);
    for (const buffer of step.buffers) buffer.destroy();
  });

  it("tells of an index outside its table when it is read, as the engine does", async () => {
    const program = recordProgram(device, (p) => ({
      rows: gather(p.input("table", [4, 2]), p.input("indices", [2], "u32")),
    }));
    const step = await loadStep(device.gpu, await program.export());
    await step.run({ table: new Float32Array(8), indices: Uint32Array.of(1, 3) });
    expect(await step.read("rows")).toEqual(new Float32Array(4));
    await step.run({ table: new Float32Array(8), indices: Uint32Array.of(1, 4) });
    await expect(step.read("rows")).rejects.toThrow(/index is out of its table/);
    for (const buffer of step.buffers) buffer.destroy();
  });

  it("refuses to name what is no state, or an output", async () => {
    const { outputs } = vit.program;
    await expect(vit.program.export({ state: { x: outputs.loss } })).rejects.toThrow(/x is no state/);
    const loss = vit.parameters.get("head.bias");
    await expect(vit.program.export({ state: { loss } })).rejects.toThrow(/name of an output/);
  });
});

describe("a damaged step", () => {
  it("is refused whichever byte is flipped, and wherever it is cut", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (place, flip) => {
        const damaged = bytes.slice();
        damaged[place] = (damaged[place] ?? 0) ^ flip;
        expect(await codeOf(openStep(damaged))).not.toBe("opened");
        expect(await codeOf(openStep(bytes.slice(0, place)))).toMatch(/truncated|damaged/);
      }),
      { numRuns: 60, examples: Array.from({ length: 49 }, (_, place): [number, number] => [place, 1]) },
    );
  });

  it("says what is wrong: another version, no step, bytes behind the end", async () => {
    const other = bytes.slice();
    other[7] = "2".charCodeAt(0);
    expect(await codeOf(openStep(other))).toBe("version");
    expect(await codeOf(openStep(new Uint8Array(10)))).toBe("truncated");
    const longer = new Uint8Array(bytes.length + 1);
    longer.set(bytes);
    expect(await codeOf(openStep(longer))).toBe("damaged");
  });

  const changes: [what: string, code: string, change: (header: Record<string, unknown>) => void][] = [
    ["an unknown field", "format", (header) => Object.assign(header, { script: "alert(1)" })],
    ["a missing field", "format", (header) => delete header.flags],
    [
      "a text for a number",
      "format",
      (header) => Object.assign(header, { buffers: [{ bytes: "4", usage: "storage", part: -1 }] }),
    ],
    [
      "an unknown type of data",
      "format",
      (header) => Object.assign(header, { outputs: { y: { dtype: "f64", shape: [1], buffer: 0, offset: 0 } } }),
    ],
    [
      "an output behind its buffer",
      "range",
      (header) => Object.assign(header, { outputs: { y: { dtype: "f32", shape: [1e9], buffer: 0, offset: 0 } } }),
    ],
    [
      "an output before its buffer",
      "range",
      (header) => Object.assign(header, { outputs: { y: { dtype: "f32", shape: [1], buffer: 0, offset: -4 } } }),
    ],
    [
      "a buffer that is not there",
      "range",
      (header) => Object.assign(header, { outputs: { y: { dtype: "f32", shape: [1], buffer: 999, offset: 0 } } }),
    ],
    [
      "a kernel that is not there",
      "range",
      (header) => Object.assign(header, { submits: [[{ kernel: 999, workgroups: [1], ranges: [] }]] }),
    ],
    [
      "too few operands",
      "range",
      (header) => Object.assign(header, { submits: [[{ kernel: 0, workgroups: [1], ranges: [] }]] }),
    ],
    [
      "a WGSL text that is not there",
      "range",
      (header) =>
        Object.assign(header, { kernels: [{ part: 9999, entry: "main", constants: {}, bindings: [] }], submits: [] }),
    ],
  ];
  it.each(changes)("with a right hash, but %s, is refused (%s)", async (_, code, change) => {
    expect(await codeOf(openStep(await withHeader(change)))).toBe(code);
  });

  it("with a right hash, but a header that is no JSON, is refused", async () => {
    const file = Uint8Array.from([...bytes.subarray(0, 48), 123]);
    new DataView(file.buffer).setBigUint64(8, 1n, true);
    file.set(new Uint8Array(await crypto.subtle.digest("SHA-256", file.slice(48))), 16);
    expect(await codeOf(openStep(file))).toBe("format");
  });

  it("is refused by a device whose subgroups have another size than its kernels, which would miss in silence", async () => {
    const { header } = await openStep(bytes);
    expect(header.subgroupSize).toBe(header.features.length > 0 ? device.subgroupSize : 0);
    const resized = await withHeader((given) => Object.assign(given, { subgroupSize: 128 })); // no adapter has such
    await expect(loadStep(device.gpu, resized)).rejects.toThrow(/need subgroups of 128, and the device has .* to/);
  });

  it("names features that the device lacks, and tells what the device says of a kernel", async () => {
    const featured = await withHeader((header) => Object.assign(header, { features: ["flying"] }));
    await expect(loadStep(device.gpu, featured)).rejects.toThrow(/its kernels need flying/);
    const renamed = await withHeader(({ kernels }) => {
      if (Array.isArray(kernels)) kernels[0].entry = "nobody";
    });
    expect(await codeOf(loadStep(device.gpu, renamed))).toBe("device");
  });
});
