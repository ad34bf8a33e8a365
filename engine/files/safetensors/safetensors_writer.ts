import { OptionError } from "../../core/errors.ts";
import type { ByteSink } from "../byte_sink.ts";
import { elementBytes } from "../host_tensor.ts";
import type { TensorItem } from "../tensor_item.ts";
import { safetensorsDTypes } from "./safetensors_reader.ts";

const nameOfDType = new Map([...safetensorsDTypes].map(([name, dtype]) => [dtype, name]));

/**
 * Writes a safetensors file, one tensor in memory at a time. Wider element types come first, so that all data is aligned;
 * otherwise the given order is kept.
 *
 * @throws OptionError for a tensor called `__metadata__`
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: ReadonlyMap<string, TensorItem>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const items = [...tensors].sort(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const [name, item] of items) {
    if (name === "__metadata__") {
      throw new OptionError('writeSafetensors: a tensor cannot be called "__metadata__"; rename it');
    }
    const end = offset + item.sizeBytes;
    const entry = { dtype: nameOfDType.get(item.dtype), shape: item.shape, data_offsets: [offset, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + length).fill(0x20); // padded with spaces: data starts at a multiple of 8
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  await sink.write(header);
  for (const [name, item] of items) await item.writeTo(sink, name);
}
