import { DTypeError } from "../../core/errors.ts";
import type { ByteSink } from "../byte_sink.ts";
import { countElements } from "../host_tensor.ts";
import { rowMajorStrides } from "../strided_view.ts";
import { TensorItem } from "../tensor_item.ts";
import { ZipWriter } from "../zip/zip_writer.ts";
import { storageDTypes } from "./pickle_tensors.ts";
import { PickleWriter } from "./pickle_writer.ts";

/**
 * What a PyTorch file can be made of: a `Map` becomes an OrderedDict (a state_dict), an object a dict. Whole numbers
 * become integers. A `TensorItem` that occurs twice is stored once.
 */
export type PyTorchValue =
  | null
  | boolean
  | number
  | string
  | TensorItem
  | readonly PyTorchValue[]
  | ReadonlyMap<string, PyTorchValue>
  | { readonly [key: string]: PyTorchValue };

const storageNames = new Map([...storageDTypes].map(([name, dtype]) => [dtype, name]));

/** Writes the pickle and numbers the tensors in the order of their first occurrence. */
class PyTorchPickler {
  readonly pickle = new PickleWriter();
  readonly keys = new Map<TensorItem, string>();

  value(value: PyTorchValue): void {
    const { pickle } = this;
    if (value === null) pickle.none();
    else if (typeof value === "boolean") pickle.boolean(value);
    else if (typeof value === "number") pickle.number(value);
    else if (typeof value === "string") pickle.text(value);
    else if (value instanceof TensorItem) this.tensor(value);
    else if (isList(value)) pickle.list(value.map((item) => () => this.value(item)));
    else if (isMap(value)) pickle.orderedDict(this.members(value));
    else pickle.dict(this.members(Object.entries(value)));
  }

  private members(entries: Iterable<readonly [string, PyTorchValue]>): (() => void)[] {
    return Array.from(entries, ([key, value]) => () => {
      this.pickle.text(key);
      this.value(value);
    });
  }

  /** `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`, as torch/_tensor.py writes it. */
  private tensor(item: TensorItem): void {
    const { pickle } = this;
    const storageName = storageNames.get(item.dtype);
    if (!storageName) {
      throw new DTypeError(
        `writePyTorch: torch.save has no storage for ${item.dtype}; convert it or write safetensors`,
      );
    }
    const key = this.keys.get(item) ?? String(this.keys.size);
    this.keys.set(item, key);
    pickle.global("torch._utils", "_rebuild_tensor_v2");
    pickle.tuple([
      () => this.storage(storageName, key, countElements(item.shape) ?? 0),
      () => pickle.number(0),
      () => pickle.numbers(item.shape),
      () => pickle.numbers(rowMajorStrides(item.shape)),
      () => pickle.boolean(false),
      () => pickle.orderedDict([]),
    ]);
    pickle.reduce();
  }

  private storage(storageName: string, key: string, count: number): void {
    const { pickle } = this;
    pickle.tuple([
      () => pickle.word("storage"),
      () => pickle.global("torch", storageName),
      () => pickle.text(key),
      () => pickle.word("cpu"),
      () => pickle.number(count),
    ]);
    pickle.persistentId();
  }
}

function isList(value: object): value is readonly PyTorchValue[] {
  return Array.isArray(value);
}

function isMap(value: object): value is ReadonlyMap<string, PyTorchValue> {
  return value instanceof Map;
}

/**
 * Writes a file that `torch.load` reads, also with `weights_only=True` (PyTorch 1.13 and later), one tensor in memory at
 * a time. A state dictionary is a `Map` of names to `TensorItem`s; the authors' files hold it as `{ state_dict: map }`.
 *
 * @param archiveName - name of the folder in the archive; `torch.save` uses the stem of the file's name
 * @throws DTypeError for types without a PyTorch storage (u16, u32, u64)
 */
export async function writePyTorch(sink: ByteSink, content: PyTorchValue, archiveName = "archive"): Promise<void> {
  const pickler = new PyTorchPickler();
  pickler.value(content);
  const zip = new ZipWriter(sink);
  const file = (path: string, bytes: Uint8Array): Promise<void> =>
    zip.add(`${archiveName}/${path}`, bytes.byteLength, (entry) => entry.write(bytes));
  await file("data.pkl", pickler.pickle.done());
  await file("byteorder", new TextEncoder().encode("little"));
  for (const [item, key] of pickler.keys) {
    const path = `data/${key}`;
    await zip.add(`${archiveName}/${path}`, item.sizeBytes, (entry) => item.writeTo(entry, path));
  }
  await file("version", new TextEncoder().encode("3\n")); // of the container; since PyTorch 1.6
  await zip.finish();
}
