import { type ByteSource, checkRange } from "../byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../errors.ts";
import { countElements, elementBytes, type FileDType } from "../host_tensor.ts";
import { StoredTensor } from "../stored_tensor.ts";
import { rowMajorStrides } from "../strided_view.ts";

/** Names of element types in safetensors headers; https://github.com/huggingface/safetensors, "Format". */
export const safetensorsDTypes: ReadonlyMap<string, FileDType> = new Map([
  ["F64", "f64"],
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
  ["I64", "i64"],
  ["U64", "u64"],
  ["I32", "i32"],
  ["U32", "u32"],
  ["I16", "i16"],
  ["U16", "u16"],
  ["I8", "i8"],
  ["U8", "u8"],
  ["BOOL", "bool"],
] as const);

/** Bits of an element of the types that the reference reader knows and this one does not read. */
const foreignBits: ReadonlyMap<string, number> = new Map([
  ["C64", 64],
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"].map((name) => [name, 8] as const),
  ...["F6_E2M3", "F6_E3M2"].map((name) => [name, 6] as const),
  ["F4", 4],
]);

// The reference reader refuses longer headers, too.
const longestHeaderBytes = 100_000_000;

/** What a safetensors file holds; nothing but the header has been read. */
export interface SafetensorsContent {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What tensors of types that are not read are, by name. */
  readonly unreadable: ReadonlyMap<string, string>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === "number");
}

async function readHeader(source: ByteSource): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const prefix = await source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  if (length > longestHeaderBytes) {
    throw new CorruptFileError(
      `${source.name}: safetensors header of ${length} bytes, at most ${longestHeaderBytes} are allowed`,
    );
  }
  checkRange(source.name, source.sizeBytes, 8, length);
  const bytes = await source.read(8, length);
  let isObject = false;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const header: unknown = JSON.parse(text);
    if (isRecord(header) && countKeys(text) === Object.keys(header).length) return { header, dataStart: 8 + length };
    isObject = isRecord(header);
  } catch (cause) {
    throw new CorruptFileError(`${source.name}: the safetensors header is not JSON; fetch the file again`, { cause });
  }
  throw new CorruptFileError(
    `${source.name}: the safetensors header ${isObject ? "names a tensor twice" : "is not a JSON object"}; fetch the file again`,
  );
}

/** Keys of the outermost object of a JSON text, equal ones too; `JSON.parse` keeps only the last of those. */
function countKeys(json: string): number {
  let [depth, keys] = [0, 0];
  for (let at = 0; at < json.length; at++) {
    const character = json[at] ?? "";
    if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    if (character === ":" && depth === 1) keys++;
    if (character === '"') at = endOfText(json, at);
  }
  return keys;
}

/** Place of the quotation mark that ends the text which begins at `start`. */
function endOfText(json: string, start: number): number {
  let at = start + 1;
  while (json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at;
}

function readMetadata(name: string, value: unknown): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined || value === null) return metadata; // the reference reader takes null for none
  if (!isRecord(value)) throw new CorruptFileError(`${name}: __metadata__ of the safetensors header is not an object`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string")
      throw new CorruptFileError(`${name}: __metadata__ ${JSON.stringify(key)} is not text`);
    metadata.set(key, text);
  }
  return metadata;
}

interface Placed {
  /** Undefined where its elements are of a type that is not read. */
  readonly tensor: StoredTensor | undefined;
  readonly dtype: string;
  readonly from: number;
  readonly to: number;
}

function readEntry(source: ByteSource, dataStart: number, name: string, entry: unknown): Placed {
  const what = `${source.name}: tensor ${JSON.stringify(name)}`;
  if (!isRecord(entry)) throw new CorruptFileError(`${what} is not described by an object`);
  const { dtype: dtypeName, shape, data_offsets: offsets } = entry;
  if (typeof dtypeName !== "string") throw new CorruptFileError(`${what} has no dtype`);
  const dtype = safetensorsDTypes.get(dtypeName);
  const bits = dtype ? 8 * elementBytes(dtype) : foreignBits.get(dtypeName);
  if (bits === undefined) {
    throw new ForeignFileError(
      `${what} has dtype ${JSON.stringify(dtypeName)}, supported are ${[...safetensorsDTypes.keys()].join(" ")}; convert it first`,
    );
  }
  if (!isNumbers(shape) || !isNumbers(offsets)) throw new CorruptFileError(`${what} lacks shape or data_offsets`);
  const [from = -1, to = -1] = offsets;
  const count = countElements(shape);
  if (offsets.length !== 2 || !Number.isSafeInteger(from) || from < 0 || 8 * (to - from) !== (count ?? -1) * bits) {
    throw new CorruptFileError(
      `${what} of shape [${shape.slice(0, 8)}] and dtype ${dtypeName} does not fit its offsets [${offsets.slice(0, 4)}]`,
    );
  }
  const place = { source, offsetBytes: dataStart + from };
  const layout = dtype && { dtype, shape, strides: rowMajorStrides(shape) };
  return { tensor: layout && new StoredTensor(layout, async () => place), dtype: dtypeName, from, to };
}

/** Tensors must fill the data part in some order, without gap or overlap. */
function checkLayout(source: ByteSource, dataStart: number, placed: readonly Placed[]): void {
  let end = 0;
  for (const { from, to } of [...placed].sort((a, b) => a.from - b.from || a.to - b.to)) {
    if (from !== end) {
      throw new CorruptFileError(
        `${source.name}: tensor data ${from < end ? "overlaps" : "has a gap"} at byte ${from} of ${end}`,
      );
    }
    end = to;
  }
  const available = source.sizeBytes - dataStart;
  if (end > available) {
    throw new TruncatedFileError(
      `${source.name}: ${end} bytes of tensor data declared, ${available} are there; fetch the file again`,
    );
  }
  if (end < available) {
    throw new CorruptFileError(
      `${source.name}: ${available - end} bytes follow the tensor data; the file was changed, fetch it again`,
    );
  }
}

/**
 * Reads the header of a safetensors file and checks it against the size of the file.
 *
 * @throws TruncatedFileError, CorruptFileError, ForeignFileError before memory for any tensor is taken
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsContent> {
  const { header, dataStart } = await readHeader(source);
  const metadata = readMetadata(source.name, Object.hasOwn(header, "__metadata__") ? header.__metadata__ : undefined);
  const placed = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => [name, readEntry(source, dataStart, name, entry)] as const);
  checkLayout(
    source,
    dataStart,
    placed.map(([, item]) => item),
  );
  const tensors = new Map(placed.flatMap(([name, { tensor }]) => (tensor ? [[name, tensor]] : [])));
  const foreign = placed.filter(([, { tensor }]) => !tensor);
  const unreadable = new Map(foreign.map(([name, { dtype }]) => [name, `a tensor of ${dtype}`]));
  return { metadata, tensors, unreadable };
}
