import { deflateRawSync } from "node:zlib";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { type Checkpoint, openCheckpoint } from "../../../engine/files/open_weights.ts";
import { littleEndian, numbersBytes, pickleBytes, storageBytes } from "./pickle_bytes.ts";

export interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflate?: boolean;
  readonly flags?: number;
  readonly method?: number;
  readonly declaredBytes?: number;
}

/** An archive as other programs write it: sizes in the local headers, or all values in 64 bits in the directory. */
export function zip(entries: readonly Entry[], form: "plain" | "zip64" = "plain"): Uint8Array {
  const locals: Uint8Array[] = [];
  const centrals: Uint8Array[] = [];
  let offset = 0;
  for (const {
    name,
    data,
    deflate = false,
    flags = 0,
    method = deflate ? 8 : 0,
    declaredBytes = data.length,
  } of entries) {
    const stored = deflate ? new Uint8Array(deflateRawSync(data)) : data;
    const sizes = pickleBytes(littleEndian(stored.length, 4), littleEndian(declaredBytes, 4));
    const local = pickleBytes(
      "PK\x03\x04",
      20,
      0,
      flags,
      0,
      method,
      0,
      new Uint8Array(8),
      sizes,
      name.length,
      0,
      0,
      0,
      name,
      stored,
    );
    const extra =
      form === "zip64"
        ? pickleBytes(
            "XX",
            0,
            0,
            1,
            0,
            24,
            0,
            littleEndian(declaredBytes, 8),
            littleEndian(stored.length, 8),
            littleEndian(offset, 8),
          )
        : pickleBytes();
    const escaped = form === "zip64" ? new Uint8Array(8).fill(255) : sizes;
    const where = form === "zip64" ? new Uint8Array(4).fill(255) : littleEndian(offset, 4);
    centrals.push(
      pickleBytes(
        "PK\x01\x02",
        45,
        0,
        20,
        0,
        flags,
        0,
        method,
        0,
        new Uint8Array(8),
        escaped,
        name.length,
        0,
        extra.length,
        0,
        new Uint8Array(10),
        where,
        name,
        extra,
      ),
    );
    locals.push(local);
    offset += local.length;
  }
  const directory = pickleBytes(...centrals);
  const count = littleEndian(entries.length, 2);
  return pickleBytes(
    ...locals,
    directory,
    "PK\x05\x06",
    new Uint8Array(4),
    count,
    count,
    littleEndian(directory.length, 4),
    littleEndian(offset, 4),
    0,
    0,
  );
}

/** Bytes of `count` floats 0, 1, 2, …, starting again after 999. */
export const floats = (count: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: count }, (_, i) => i % 1000).buffer);

/** A pickle of one float tensor over storage "0". */
export function tensorPickle(size: number, shape: readonly number[], strides: readonly number[]): Uint8Array {
  return pickleBytes(
    "ctorch._utils\n_rebuild_tensor_v2\n(",
    storageBytes("FloatStorage", size),
    "K",
    0,
    numbersBytes(...shape),
    numbersBytes(...strides),
    "\x89)tR.",
  );
}
/** A pickle of the first two floats of storage "0". */
export const small = tensorPickle(2, [2], [1]);

/** Opens bytes as a checkpoint. */
export const open = (bytes: Uint8Array): Promise<Checkpoint> => openCheckpoint(memorySource(bytes, "file"));

/** A safetensors file with zeros as data. */
export function safetensors(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  return pickleBytes(littleEndian(json.length, 8), json, new Uint8Array(dataBytes));
}
