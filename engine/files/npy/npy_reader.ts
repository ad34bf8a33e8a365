import type { ByteSource } from "../byte_source.ts";
import { CorruptFileError, ForeignFileError, TruncatedFileError } from "../errors.ts";
import { countElements, elementBytes, type FileDType } from "../host_tensor.ts";
import { StoredTensor } from "../stored_tensor.ts";
import { rowMajorStrides } from "../strided_view.ts";

/** The bytes with which `.npy` files begin; numpy.lib.format, version 1.0 to 3.0. */
export const npyMagic = "\x93NUMPY";

/** Element types by NumPy's code; half precision other than IEEE has none. */
export const npyDTypes: ReadonlyMap<string, FileDType> = new Map([
  ["<f8", "f64"],
  ["<f4", "f32"],
  ["<f2", "f16"],
  ["<i8", "i64"],
  ["<u8", "u64"],
  ["<i4", "i32"],
  ["<u4", "u32"],
  ["<i2", "i16"],
  ["<u2", "u16"],
  ["|i1", "i8"],
  ["|u1", "u8"],
  ["|b1", "bool"],
] as const);

// NumPy itself refuses longer headers unless told otherwise.
const longestHeaderBytes = 10_000;

interface NpyHeader {
  readonly dtype: FileDType;
  readonly shape: readonly number[];
  readonly columnMajor: boolean;
}

/** NumPy's usual code of an element type: one byte has no order, and `=` is that of the machine, as `<` is on all that can run this. */
function usualCode(code: string): string {
  return code.replace(/^[<>=|]?(?=[iub]1$)/, "|").replace(/^=/, "<");
}

/** The header is a Python dictionary; only the form that NumPy writes is understood. */
function parseHeader(name: string, text: string): NpyHeader {
  const field = (pattern: string): string | undefined => new RegExp(`'${pattern}\\s*[,}]`).exec(text)?.[1];
  const descr = field("descr'\\s*:\\s*u?'([^']*)'");
  const order = field("fortran_order'\\s*:\\s*(True|False)");
  const axes = field("shape'\\s*:\\s*\\(([\\dL\\s,]*)\\)");
  if (descr === undefined || order === undefined || axes === undefined) {
    throw new ForeignFileError(`${name}: an .npy header other than of a plain array; save a plain array`);
  }
  const dtype = npyDTypes.get(usualCode(descr));
  if (!dtype) {
    throw new ForeignFileError(
      `${name}: .npy elements of type ${JSON.stringify(descr)}, supported are ${[...npyDTypes.keys()].join(" ")}`,
    );
  }
  const shape = axes
    .split(",")
    .map((axis) => axis.trim())
    .filter((axis) => axis !== "")
    .map((axis) => (/^\d+L?$/.test(axis) ? Number.parseInt(axis, 10) : Number.NaN)); // Python 2 writes 2L
  if (shape.includes(Number.NaN))
    throw new ForeignFileError(`${name}: an .npy header with the shape (${axes}); save a plain array`);
  return { dtype, shape, columnMajor: order === "True" };
}

/**
 * Opens a `.npy` file; only the header is read.
 *
 * @throws TruncatedFileError, CorruptFileError, ForeignFileError
 */
export async function openNpy(source: ByteSource): Promise<StoredTensor> {
  const start = await source.read(0, Math.min(12, source.sizeBytes));
  if (start.byteLength < 12)
    throw new TruncatedFileError(`${source.name}: the .npy header is cut off; fetch the file again`);
  const view = new DataView(start.buffer, start.byteOffset, 12);
  if (!String.fromCharCode(...start).startsWith(npyMagic)) {
    throw new ForeignFileError(`${source.name}: not an .npy file`);
  }
  const version = start[6] ?? 0;
  if (version < 1 || version > 3)
    throw new ForeignFileError(`${source.name}: .npy version ${version}, known are 1 to 3`);
  const [headerStart, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (length > longestHeaderBytes) throw new CorruptFileError(`${source.name}: .npy header of ${length} bytes`);
  const header = parseHeader(source.name, new TextDecoder().decode(await source.read(headerStart, length)));
  const { dtype, shape } = header;
  const count = countElements(shape);
  const available = source.sizeBytes - headerStart - length;
  const needed = (count ?? Number.POSITIVE_INFINITY) * elementBytes(dtype);
  if (needed > available) {
    throw new TruncatedFileError(
      `${source.name}: [${shape}] of ${dtype} needs ${needed} bytes, ${available} are there; fetch the file again`,
    );
  }
  if (needed < available) throw new CorruptFileError(`${source.name}: ${available - needed} bytes follow the array`);
  const strides = header.columnMajor ? rowMajorStrides([...shape].reverse()).reverse() : rowMajorStrides(shape);
  return new StoredTensor({ dtype, shape, strides }, async () => ({ source, offsetBytes: headerStart + length }));
}
