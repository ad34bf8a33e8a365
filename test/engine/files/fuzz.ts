import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import process from "node:process";
import { memorySink } from "../../../engine/files/byte_sink.ts";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { CheckpointError } from "../../../engine/files/errors.ts";
import { type HostTensor, tensorFromBytes } from "../../../engine/files/host_tensor.ts";
import { writeNpy } from "../../../engine/files/npy/npy_writer.ts";
import { openCheckpoint } from "../../../engine/files/open_weights.ts";
import { writeSafetensors } from "../../../engine/files/safetensors/safetensors_writer.ts";
import { TensorItem } from "../../../engine/files/tensor_item.ts";
import { allDTypes } from "./arbitraries.ts";

export const fuzzFormats = ["safetensors", "pytorch-zip", "pytorch-legacy", "npy"] as const;
export type FuzzFormat = (typeof fuzzFormats)[number];

/** Outcomes by kind of error, or `read`; and the extremes that were seen (memory: of the whole process). */
export interface FuzzReport {
  readonly format: FuzzFormat;
  readonly seed: number;
  readonly files: number;
  readonly outcomes: Record<string, number>;
  readonly slowestMs: number;
  readonly largestTensorBytes: number;
  readonly mostMemoryBytes: number;
}

/** 32-bit generator (Mulberry32): the same files for the same seed on every runtime. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../fixtures/checkpoints/${name}`, import.meta.url)));
}

function patterned(dtype: HostTensor["dtype"], shape: readonly number[]): HostTensor {
  const size = tensorFromBytes(dtype, [0], new Uint8Array(0)).data.BYTES_PER_ELEMENT;
  const length = shape.reduce((product, axis) => product * axis, size);
  return tensorFromBytes(
    dtype,
    shape,
    Uint8Array.from({ length }, (_, i) => i * 29),
  );
}

async function originals(format: FuzzFormat): Promise<Uint8Array[]> {
  if (format === "pytorch-zip") {
    return ["single-tensor.pt", "exotic.pth", "exotic-deflated.pth", "malicious-command.pth"].map(fixture);
  }
  if (format === "pytorch-legacy") return ["exotic-legacy.pth", "malicious-legacy.pth"].map(fixture);
  if (format === "npy") {
    return Promise.all(
      (
        [
          ["f32", [3, 4]],
          ["i64", []],
          ["u8", [0, 7]],
          ["f16", [2, 3, 5]],
        ] as const
      ).map(async ([dtype, shape]) => {
        const sink = memorySink();
        await writeNpy(sink, patterned(dtype, shape));
        return sink.bytes();
      }),
    );
  }
  const sink = memorySink();
  const items = allDTypes.map(
    (dtype, i) => [`block.${i}.${dtype}`, TensorItem.of(patterned(dtype, [i % 4, 3]))] as const,
  );
  await writeSafetensors(sink, new Map(items), { model: "vit", note: "ü" });
  return [sink.bytes(), new TextEncoder().encode("\x02\0\0\0\0\0\0\0{}")];
}

const edges = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 2 ** 53, 2 ** 63];
// Instructions of pickles, pieces of headers, names: what makes a mutated file get further than its first bytes.
const words = [
  "R",
  "b",
  "Q",
  "(",
  "t",
  "e",
  "u",
  "h\x00",
  "q\x00",
  ")\x81",
  "cos\nsystem\n",
  "2",
  "}",
  "]",
  "0",
  "9",
  "-1",
  "[",
  '"',
  ",",
  "PK\x01\x02",
  "PK\x03\x04",
  "PK\x05\x06",
  "(99999999999,)",
];

function splice(bytes: Uint8Array, start: number, removed: number, added: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length - removed + added.length);
  out.set(bytes.subarray(0, start));
  out.set(added, start);
  out.set(bytes.subarray(start + removed), start + added.length);
  return out;
}

function mutateOnce(bytes: Uint8Array, random: (below: number) => number, other: Uint8Array): Uint8Array {
  const at = random(bytes.length + 1);
  const left = bytes.length - at;
  const span = Math.min(left, 1 + random(24));
  const out = bytes.slice();
  switch (random(8)) {
    case 0:
      if (left > 0) out[at] = (out[at] ?? 0) ^ (1 << random(8));
      return out;
    case 1:
      if (left > 0) out[at] = random(256);
      return out;
    case 2: {
      // An edge of a 1-, 2-, 4- or 8-byte number; sizes and offsets are such numbers.
      const width = Math.min(left, 2 ** random(4));
      let value = BigInt(edges[random(edges.length)] ?? 0);
      for (let i = 0; i < width; i++, value >>= 8n) out[at + i] = Number(value & 255n);
      return out;
    }
    case 3:
      return bytes.slice(0, at);
    case 4:
      return splice(bytes, at, span, new Uint8Array(0));
    case 5:
      return splice(bytes, at, 0, bytes.subarray(random(bytes.length + 1)).slice(0, span));
    case 6:
      return splice(bytes, at, Math.min(span, random(3)), new TextEncoder().encode(words[random(words.length)] ?? ""));
    default: {
      const from = random(other.length + 1);
      return splice(bytes, at, span, other.slice(from, from + 1 + random(64)));
    }
  }
}

async function visit(bytes: Uint8Array, note: (tensorBytes: number) => void): Promise<string> {
  try {
    const checkpoint = await openCheckpoint(memorySource(bytes, "mutated"));
    for (const [name, info] of checkpoint.tensors) {
      note(info.sizeBytes);
      // Reading is what is tested, not the speed of copying: repeated views may be up to 64 MiB.
      if (info.sizeBytes > 2 ** 20) continue;
      await checkpoint.read(name);
      await checkpoint.readAsF32(name);
    }
    return "read";
  } catch (error) {
    if (error instanceof CheckpointError) return error.kind;
    throw error;
  }
}

/** Opens and reads `files` mutated files; anything but success or a `CheckpointError` is thrown, with the file. */
export async function fuzz(format: FuzzFormat, files: number, seed: number): Promise<FuzzReport> {
  const random = generator(seed);
  const bases = await originals(format);
  const outcomes: Record<string, number> = {};
  let [slowestMs, largestTensorBytes, mostMemoryBytes] = [0, 0, 0];
  for (let i = 0; i < files; i++) {
    const pick = (): Uint8Array => bases[random(bases.length)] ?? new Uint8Array(0);
    let bytes = pick();
    for (let rounds = 1 + random(4); rounds > 0; rounds--) bytes = mutateOnce(bytes, random, pick());
    const start = performance.now();
    const outcome = await visit(bytes, (tensorBytes) => {
      largestTensorBytes = Math.max(largestTensorBytes, tensorBytes);
    }).catch((cause: unknown) => {
      const base64 = Buffer.from(bytes).toString("base64");
      throw new Error(`fuzz: ${format}, seed ${seed}, file ${i}: ${cause}\n${base64}`, { cause });
    });
    slowestMs = Math.max(slowestMs, performance.now() - start);
    mostMemoryBytes = Math.max(mostMemoryBytes, process.memoryUsage().rss);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  }
  return { format, seed, files, outcomes, slowestMs, largestTensorBytes, mostMemoryBytes };
}
