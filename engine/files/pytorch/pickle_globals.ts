import { CorruptFileError, ForbiddenGlobalError } from "../errors.ts";
import { numpyScalar } from "./pickle_numpy.ts";
import { storageDTypes, tensorOf, torchDTypes } from "./pickle_tensors.ts";
import {
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

/** Counts what is built in memory beyond what stands in the file; throws when it becomes too much. */
export type Spend = (items: number) => void;

/** What calling a global yields; nothing here does more than build data. */
type Constructor = (args: readonly PickleValue[], global: PickleGlobal, spend: Spend) => PickleValue;

function itemsOf(value: PickleValue | undefined): readonly PickleValue[] {
  if (value instanceof PickleList || value instanceof PickleTuple || value instanceof PickleSet) return value.items;
  throw new CorruptFileError("unpickle: expected a list or tuple; the file is damaged");
}

const dict: Constructor = ([content], _, spend) => {
  const result = new PickleDict();
  if (content === undefined) return result;
  const pairs = content instanceof PickleDict ? [...content.entries] : itemsOf(content).map(itemsOf);
  spend(pairs.length);
  for (const [key = null, value = null] of pairs) result.entries.set(key, value);
  return result;
};

const set: Constructor = ([content], _, spend) => {
  const result = new PickleSet();
  if (content === undefined) return result;
  const items = itemsOf(content);
  spend(items.length);
  for (const item of items) result.items.push(item);
  return result;
};

const record: Constructor = (args, global) => new PickleRecord(global.name, args);

/** Bytes written as Latin-1 text by protocols that know no bytes. */
const latin1: Constructor = ([text], _, spend) => {
  if (text instanceof Uint8Array) return text;
  if (text !== undefined && typeof text !== "string") throw new CorruptFileError("unpickle: expected text for bytes");
  spend(text?.length ?? 0);
  return Uint8Array.from(text ?? "", (character) => character.charCodeAt(0));
};

const parameter: Constructor = ([tensor]) => {
  if (tensor instanceof PickleTensor) return tensor;
  throw new CorruptFileError("unpickle: a parameter holds no tensor; the file is damaged");
};

/** `(function, type, arguments, state)`: a tensor with attributes, which are dropped. */
const typedTensor: Constructor = ([rebuild, , args], _, spend) => {
  if (rebuild instanceof PickleGlobal && rebuild.name.startsWith("torch._utils."))
    return callGlobal(rebuild, args, spend);
  throw new CorruptFileError("unpickle: a typed tensor is not built from a tensor; the file is damaged");
};

/** `(class, object, None)`: how protocols 0 and 1 create an object. */
const reconstruct: Constructor = ([type]) => {
  if (type instanceof PickleGlobal && constructors.get(type.name) === record) return new PickleRecord(type.name);
  throw new CorruptFileError("unpickle: an object of no known class; the file is damaged");
};

const untypedTensor: Constructor = (args) => {
  const dtype = args[6];
  return tensorOf(args, dtype instanceof PickleGlobal ? torchDTypes.get(dtype.name.slice("torch.".length)) : undefined);
};

const constructors: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ["collections.OrderedDict", dict],
  ["collections.Counter", dict],
  ["builtins.set", set],
  ["builtins.frozenset", set],
  ["builtins.bytes", latin1],
  ["builtins.bytearray", latin1],
  ["_codecs.encode", latin1],
  ["copyreg._reconstructor", reconstruct],
  ["argparse.Namespace", record],
  ["types.SimpleNamespace", record],
  ["torch.device", record],
  ["torch.Size", ([items]) => new PickleTuple(itemsOf(items))],
  ["torch._utils._rebuild_tensor", (args) => tensorOf(args)],
  ["torch._utils._rebuild_tensor_v2", (args) => tensorOf(args)],
  ["torch._utils._rebuild_tensor_v3", untypedTensor],
  ["torch._utils._rebuild_parameter", parameter],
  ["torch._utils._rebuild_parameter_with_state", parameter],
  ["torch._tensor._rebuild_from_type_v2", typedTensor],
  ["numpy.dtype", record],
  ["numpy.core.multiarray.scalar", ([dtype, bytes]) => numpyScalar(dtype, bytes)],
]);

/** Names that may be mentioned but not called. */
const mentioned: ReadonlySet<string> = new Set([
  "builtins.object",
  "torch.Tensor",
  "torch.nn.parameter.Parameter",
  "torch.nn.parameter.Buffer",
  "torch.storage.UntypedStorage",
  ...[...storageDTypes.keys()].flatMap((name) => [`torch.${name}`, `torch.cuda.${name}`]),
  ...[...torchDTypes.keys()].map((name) => `torch.${name}`),
]);

// Modules that were renamed between versions of Python and NumPy.
const renamed: ReadonlyMap<string, string> = new Map([
  ["__builtin__", "builtins"],
  ["copy_reg", "copyreg"],
  ["numpy._core.multiarray", "numpy.core.multiarray"],
]);

/** A global by module and name. @throws ForbiddenGlobalError for all but the few that describe tensors and containers */
export function findGlobal(module: string, name: string): PickleGlobal {
  const full = `${renamed.get(module) ?? module}.${name}`;
  if (!constructors.has(full) && !mentioned.has(full)) throw new ForbiddenGlobalError(`${module}.${name}`);
  return new PickleGlobal(full);
}

/** What calling `callee` with a tuple of arguments yields. @throws CorruptFileError if it cannot be called */
export function callGlobal(callee: PickleValue | undefined, args: PickleValue | undefined, spend: Spend): PickleValue {
  const construct = callee instanceof PickleGlobal ? constructors.get(callee.name) : undefined;
  if (!(callee instanceof PickleGlobal) || !construct || !(args instanceof PickleTuple)) {
    throw new CorruptFileError("unpickle: something is called that is not callable; the file is damaged");
  }
  return construct(args.items, callee, spend);
}
