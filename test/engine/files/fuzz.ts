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
import { generator, mutated } from "./mutate.ts";

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

const fixtureFolder = new URL("../../fixtures/checkpoints/", import.meta.url);

function patterned(dtype: HostTensor["dtype"], shape: readonly number[]): HostTensor {
  const size = tensorFromBytes(dtype, [0], new Uint8Array(0)).data.BYTES_PER_ELEMENT;
  const length = shape.reduce((product, axis) => product * axis, size);
  return tensorFromBytes(
    dtype,
    shape,
    Uint8Array.from({ length }, (_, i) => i * 29),
  );
}

/** Whole files of a format, with which mutations begin. @param folder - of checkpoints, for a bundle that stands elsewhere */
export async function originals(format: FuzzFormat, folder = fixtureFolder): Promise<Uint8Array[]> {
  const fixture = (name: string): Uint8Array => new Uint8Array(readFileSync(new URL(name, folder)));
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

/** Opens and reads a file. @returns `read`, or the kind of the error that refuses it */
export async function visit(bytes: Uint8Array, note: (tensorBytes: number) => void): Promise<string> {
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
    const bytes = mutated(bases, random);
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
