import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { memorySink } from "../../../engine/files/byte_sink.ts";
import { blobSource, memorySource } from "../../../engine/files/byte_source.ts";
import { MissingTensorError, WriteTargetError } from "../../../engine/files/errors.ts";
import {
  bytesOf,
  convertTensor,
  elementsToF32,
  type HostTensor,
  hostTensor,
} from "../../../engine/files/host_tensor.ts";
import { NpyRowWriter, writeNpy } from "../../../engine/files/npy/npy_writer.ts";
import { type Checkpoint, openCheckpoint } from "../../../engine/files/open_weights.ts";
import { writePyTorch } from "../../../engine/files/pytorch/pytorch_writer.ts";
import { writeSafetensors } from "../../../engine/files/safetensors/safetensors_writer.ts";
import { TensorItem } from "../../../engine/files/tensor_item.ts";
import { openZip } from "../../../engine/files/zip/zip_reader.ts";
import { fileSource, writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { allDTypes, tensors } from "./arbitraries.ts";

async function written(
  write: (sink: ReturnType<typeof memorySink>) => Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const sink = memorySink();
  await write(sink);
  return sink.bytes();
}

async function expectSame(checkpoint: Checkpoint, name: string, tensor: HostTensor): Promise<void> {
  const back = await checkpoint.read(name);
  expect([back.dtype, back.shape]).toEqual([tensor.dtype, tensor.shape]);
  expect(Buffer.compare(bytesOf(back), bytesOf(tensor))).toBe(0);
  const floats = await checkpoint.readAsF32(name);
  expect(Array.from(floats)).toEqual(Array.from(elementsToF32(tensor.dtype, tensor.data)));
}

const torchDTypes = allDTypes.filter((dtype) => !["u16", "u32", "u64"].includes(dtype));
const names = fc.oneof(fc.constantFrom("a", "a.b", "blocks.0.attn.qkv.weight", "größe", '"\\', ""), fc.string());
const dictionaries = fc.uniqueArray(
  fc.tuple(
    names.filter((name) => name !== "__metadata__"),
    tensors(),
  ),
  {
    maxLength: 6,
    selector: ([name]) => name,
  },
);

describe("safetensors", () => {
  test("files return what was written, bit for bit, with their metadata", async () => {
    await fc.assert(
      fc.asyncProperty(dictionaries, fc.dictionary(fc.string(), fc.string()), async (items, metadata) => {
        const content = new Map(items.map(([name, tensor]) => [name, TensorItem.of(tensor)]));
        const bytes = await written((sink) => writeSafetensors(sink, content, metadata));
        const checkpoint = await openCheckpoint(memorySource(bytes));
        expect(checkpoint.format).toBe("safetensors");
        expect(checkpoint.metadata).toEqual(new Map(Object.entries(metadata)));
        expect([...checkpoint.tensors.keys()].sort()).toEqual(items.map(([name]) => name).sort());
        for (const [name, tensor] of items) await expectSame(checkpoint, name, tensor);
      }),
      { numRuns: 150 },
    );
  });
  test("files are told from pickles whatever the length of their header", async () => {
    for (let length = 0; length < 700; length++) {
      const bytes = await written((sink) => writeSafetensors(sink, new Map(), { text: "x".repeat(length) }));
      expect((await openCheckpoint(memorySource(bytes))).format).toBe("safetensors");
    }
  });
  test("a tensor cannot be called __metadata__", async () => {
    const item = TensorItem.of(hostTensor("u8", [], Uint8Array.of(1)));
    await expect(written((sink) => writeSafetensors(sink, new Map([["__metadata__", item]])))).rejects.toThrow(
      "rename it",
    );
  });
  test("a tensor that is read as another than announced is refused", async () => {
    const item = new TensorItem("f32", [2], () => hostTensor("u8", [2], Uint8Array.of(1, 2)));
    await expect(written((sink) => writeSafetensors(sink, new Map([["a", item]])))).rejects.toThrow("announced as f32");
    expect(() => new TensorItem("f32", [0.5], () => hostTensor("u8", [0], new Uint8Array(0)))).toThrow("not a shape");
  });
});

describe("PyTorch files", () => {
  test("return what was written, bit for bit, tensors as well as plain values", async () => {
    const items = fc.uniqueArray(
      fc.tuple(
        names.filter((name) => !name.includes("/")),
        tensors(torchDTypes),
      ),
      {
        maxLength: 6,
        selector: ([name]) => name,
      },
    );
    const plain = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.maxSafeInteger(),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
    );
    await fc.assert(
      fc.asyncProperty(items, plain, async (list, value) => {
        const state = new Map(list.map(([name, tensor]) => [name, TensorItem.of(tensor)]));
        const bytes = await written((sink) => writePyTorch(sink, { state_dict: state, value, list: [value, {}] }));
        const checkpoint = await openCheckpoint(blobSource(new Blob([bytes])));
        expect(checkpoint.format).toBe("pytorch-zip");
        for (const [name, tensor] of list) await expectSame(checkpoint, `state_dict/${name}`, tensor);
        const leaves = new Map(checkpoint.plainValues);
        if (list.length === 0) leaves.delete("state_dict");
        expect(leaves).toEqual(
          new Map<string, unknown>([
            ["value", value],
            ["list/0", value],
            ["list/1", {}],
          ]),
        );
      }),
      { numRuns: 150 },
    );
  });

  test("describe a tensor with the very bytes that torch.save writes", async () => {
    const original = memorySource(
      new Uint8Array(readFileSync(new URL("../../fixtures/checkpoints/single-tensor.pt", import.meta.url))),
    );
    const tensor = await (await openCheckpoint(original)).read("");
    const bytes = await written((sink) => writePyTorch(sink, TensorItem.of(tensor), "single-tensor"));
    const content = async (source: typeof original, name: string): Promise<Uint8Array> => {
      const zip = await openZip(source);
      const entry = zip.entries.get(`single-tensor/${name}`);
      if (!entry) throw new Error(`no ${name}`);
      return (await zip.open(entry)).read(0, entry.sizeBytes);
    };
    for (const name of ["data.pkl", "data/0", "version"]) {
      expect(Array.from(await content(memorySource(bytes), name))).toEqual(Array.from(await content(original, name)));
    }
  });

  test("place tensor data at multiples of 64 bytes and store a shared tensor once", async () => {
    const item = TensorItem.of(hostTensor("u8", [3], Uint8Array.of(201, 202, 203)));
    const bytes = await written((sink) =>
      writePyTorch(
        sink,
        new Map([
          ["a", item],
          ["b", item],
        ]),
      ),
    );
    const at = Buffer.from(bytes).indexOf(Buffer.of(201, 202, 203));
    expect(at % 64).toBe(0);
    expect(Buffer.from(bytes).indexOf(Buffer.of(201, 202, 203), at + 1)).toBe(-1);
  });

  test("cannot hold types that torch.save has no storage for", async () => {
    const item = TensorItem.of(hostTensor("u32", [1], Uint32Array.of(1)));
    await expect(written((sink) => writePyTorch(sink, item))).rejects.toThrow("no storage for u32");
  });

  test("with thousands of entries are read by Python's zip and PyTorch's weights-only loader", async (context) => {
    const python = "/usr/bin/python3";
    const run = (code: string): string =>
      execFileSync(python, ["-c", code], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    try {
      run("import importlib.util, sys\nsys.exit(importlib.util.find_spec('torch') is None)");
    } catch {
      context.skip("python3-torch is not installed (Debian: apt install python3-torch)");
    }
    const path = join(folder, "thousands.pth");
    const state = new Map<string, TensorItem>();
    for (let i = 0; i < 1200; i++)
      state.set(`p.${i}`, TensorItem.of(hostTensor("i64", [1, 2], BigInt64Array.of(BigInt(i), -1n))));
    state.set("half", TensorItem.of(hostTensor("bf16", [2], Uint16Array.of(0x3f80, 0xc000))));
    state.set("empty", TensorItem.of(hostTensor("f16", [0, 3], new Uint16Array(0))));
    await writeFileAtomic(path, (sink) =>
      writePyTorch(sink, { state_dict: state, ctor_kwargs: { kind: "vit.vit", dim: 192 } }),
    );
    const code = `
import torch, zipfile, json
assert zipfile.ZipFile(${JSON.stringify(path)}).testzip() is None
o = torch.load(${JSON.stringify(path)}, weights_only=True)
s = o["state_dict"]
print(json.dumps([type(s).__name__, len(s), s["p.1199"].tolist(), s["half"].tolist(), str(s["half"].dtype), list(s["empty"].shape), o["ctor_kwargs"]]))`;
    expect(JSON.parse(run(code))).toEqual([
      "OrderedDict",
      1202,
      [[1199, -1]],
      [1, -2],
      "torch.bfloat16",
      [0, 3],
      { kind: "vit.vit", dim: 192 },
    ]);
  });
});

describe(".npy files", () => {
  test("return what was written, bit for bit, in one piece or row by row", async () => {
    await fc.assert(
      fc.asyncProperty(tensors(allDTypes.filter((dtype) => dtype !== "bf16")), async (tensor) => {
        const bytes = await written((sink) => writeNpy(sink, tensor));
        const checkpoint = await openCheckpoint(memorySource(bytes));
        expect(checkpoint.format).toBe("npy");
        await expectSame(checkpoint, "", tensor);
        expect((bytes.length - tensor.sizeBytes) % 64).toBe(0);
      }),
      { numRuns: 150 },
    );
    const row = (value: number): HostTensor => hostTensor("f32", [1, 2], Float32Array.of(value, value));
    const rows = await written(async (sink) => {
      const writer = new NpyRowWriter(sink, "f32", [3, 2]);
      for (const value of [1, 2, 3]) await writer.write(row(value));
      await writer.finish();
    });
    expect(Array.from(await (await openCheckpoint(memorySource(rows))).readAsF32(""))).toEqual([1, 1, 2, 2, 3, 3]);
  });
  test("refuse bf16, wrong types, too many and too few rows", async () => {
    const sink = memorySink();
    expect(() => new NpyRowWriter(sink, "bf16", [1])).toThrow("convert to f32");
    expect(() => new NpyRowWriter(sink, "f32", [-1])).toThrow("not a shape");
    const writer = new NpyRowWriter(sink, "f32", [1]);
    await expect(writer.finish()).rejects.toThrow("4 bytes are missing");
    await expect(writer.write(hostTensor("i32", [1], Int32Array.of(1)))).rejects.toThrow("expected f32");
    await expect(writer.write(hostTensor("f32", [2], Float32Array.of(1, 2)))).rejects.toThrow("more rows");
  });
  test("in column order are read in row order", async () => {
    const text = "\x93NUMPY\x01\x00\x46\x00{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }".padEnd(80);
    const bytes = Uint8Array.from([...text].map((c) => c.charCodeAt(0)).concat([1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0]));
    expect(Array.from<number | bigint>((await (await openCheckpoint(memorySource(bytes))).read("")).data)).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
  });
});

test("a missing tensor is named, with some of those that are there", async () => {
  const bytes = await written((sink) =>
    writeSafetensors(sink, new Map([["weight", TensorItem.of(hostTensor("u8", [], Uint8Array.of(1)))]])),
  );
  const checkpoint = await openCheckpoint(memorySource(bytes));
  expect(() => checkpoint.read("bias")).toThrow(MissingTensorError);
  expect(() => checkpoint.read("bias")).toThrow('no tensor "bias" among 1, which begin with "weight"');
});

test("tensors convert between float types by the nearest value", () => {
  const tensor = hostTensor("f64", [3], Float64Array.of(1 / 3, 65520, -0));
  expect(Array.from<number | bigint>(convertTensor(tensor, "f32").data)).toEqual([Math.fround(1 / 3), 65520, -0]);
  expect(Array.from<number | bigint>(convertTensor(tensor, "f16").data)).toEqual([0x3555, 0x7c00, 0x8000]);
  expect(Array.from<number | bigint>(convertTensor(tensor, "bf16").data)).toEqual([0x3eab, 0x4780, 0x8000]);
  const same = hostTensor("f16", [1], Uint16Array.of(1));
  expect(convertTensor(same, "f16")).toBe(same);
});

const folder = mkdtempSync(join(tmpdir(), "mimrefine-writers-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("files on disk", () => {
  test("are not overwritten unless that is allowed", async () => {
    const path = join(folder, "kept");
    const write = (text: string, overwrite?: boolean): Promise<void> =>
      writeFileAtomic(path, (sink) => sink.write(new TextEncoder().encode(text)), { overwrite });
    await write("one");
    await expect(write("two")).rejects.toThrow("exists; choose another name");
    expect(readFileSync(path, "utf8")).toBe("one");
    await write("three", true);
    expect(readFileSync(path, "utf8")).toBe("three");
  });
  test("keep their content when writing fails half way, and nothing is left beside them", async () => {
    const path = join(folder, "old");
    await writeFileAtomic(path, (sink) => sink.write(Uint8Array.of(111)));
    const failing = writeFileAtomic(
      path,
      async (sink) => {
        await sink.write(new Uint8Array(100_000));
        throw new Error("disk full");
      },
      { overwrite: true },
    );
    await expect(failing).rejects.toThrow("disk full");
    expect(Array.from(readFileSync(path))).toEqual([111]);
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
  });
  test("are refused where no file can be, before anything is produced", async () => {
    const write = (path: string): Promise<void> =>
      writeFileAtomic(path, () => Promise.reject(new Error("produced")), { overwrite: true });
    await expect(write(folder)).rejects.toThrow(`${folder} is a folder; give the name of a file`);
    await expect(write(join(folder, "none", "x"))).rejects.toThrow(`there is no folder ${join(folder, "none")}`);
    await expect(write("/dev/null")).rejects.toThrow(WriteTargetError);
  });
  test("keep a symbolic link that leads to them", async () => {
    const [real, link] = [join(folder, "real"), join(folder, "link")];
    await writeFileAtomic(real, (sink) => sink.write(Uint8Array.of(1)));
    symlinkSync(real, link);
    await writeFileAtomic(link, (sink) => sink.write(Uint8Array.of(2)), { overwrite: true });
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(Array.from(readFileSync(real))).toEqual([2]);
  });
  test("are read by ranges, and only within their size", async () => {
    const path = join(folder, "ranges");
    await writeFileAtomic(path, (sink) => sink.write(Uint8Array.of(1, 2, 3, 4)));
    const source = await fileSource(path);
    expect(Array.from(await source.read(1, 2))).toEqual([2, 3]);
    await expect(source.read(3, 2)).rejects.toThrow("outside the 4 bytes");
    await source.close();
    await source.close();
  });
});
