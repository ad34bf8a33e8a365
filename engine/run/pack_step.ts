import { hexadecimal, sha256 } from "../core/sha256.ts";
import type { StepHeader } from "../step/load_step.ts";

/** What a step consists of, with texts and contents in their places. */
export interface StepParts {
  /** Without content: zeros. */
  readonly buffers: readonly {
    readonly bytes: number;
    readonly usage: "storage" | "uniform";
    readonly content?: Uint8Array;
  }[];
  readonly kernels: readonly (Omit<StepHeader["kernels"][number], "part"> & { readonly text: string })[];
  readonly features: readonly string[];
  readonly subgroupSize: number;
}

/**
 * Moves texts and contents behind the header, each once, and adds the hashes.
 *
 * @returns the pieces of the file, in order
 */
export async function packStep(step: Omit<StepHeader, "parts" | keyof StepParts> & StepParts): Promise<Uint8Array[]> {
  const contents: Uint8Array<ArrayBuffer>[] = [];
  const parts: StepHeader["parts"][number][] = [];
  const add = async (content: Uint8Array): Promise<number> => {
    const bytes = content.buffer instanceof ArrayBuffer ? viewOf(content, content.buffer) : Uint8Array.from(content);
    const hash = hexadecimal(await sha256(bytes));
    const known = parts.findIndex(({ sha256 }) => sha256 === hash);
    if (known >= 0) return known;
    contents.push(bytes);
    return parts.push({ bytes: bytes.length, sha256: hash }) - 1;
  };
  const kernels: StepHeader["kernels"][number][] = [];
  for (const { text, ...kernel } of step.kernels)
    kernels.push({ part: await add(new TextEncoder().encode(text)), ...kernel });
  const buffers: StepHeader["buffers"][number][] = [];
  for (const { bytes, usage, content } of step.buffers) {
    const isZero = !content || content.every((byte) => byte === 0);
    buffers.push({ bytes, usage, part: isZero ? -1 : await add(content) });
  }
  const header = new TextEncoder().encode(JSON.stringify({ ...step, parts, buffers, kernels }));
  const start = new Uint8Array(48);
  start.set(new TextEncoder().encode("MIMSTEP1"));
  new DataView(start.buffer).setBigUint64(8, BigInt(header.length), true);
  start.set(await sha256(header), 16);
  return [start, header, ...contents];
}

function viewOf(bytes: Uint8Array, buffer: ArrayBuffer): Uint8Array<ArrayBuffer> {
  return new Uint8Array(buffer, bytes.byteOffset, bytes.length);
}
