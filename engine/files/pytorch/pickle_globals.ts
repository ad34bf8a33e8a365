import { CorruptFileError, ForbiddenGlobalError } from "../errors.ts";
import { canAct } from "./pickle_acting.ts";
import { numpyScalar } from "./pickle_numpy.ts";
import { storageDTypes, torchDTypes, typedTensorOf, untypedTensorOf } from "./pickle_tensors.ts";
import {
  InertRecord,
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleOpaque,
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

/** What an unknown class or function stands for. Functions of PyTorch that build tensors are known by their names. */
const inert: Constructor = (args, global) => {
  if (/^torch\._(utils|tensor)\._rebuild_/.test(global.name)) return new PickleOpaque(`made by ${global.name}`);
  return new InertRecord(global.name, args);
};

const list: Constructor = ([content], _, spend) => {
  const result = new PickleList();
  const items = content === undefined ? [] : itemsOf(content);
  spend(items.length);
  for (const item of items) result.items.push(item);
  return result;
};

/** `(factory[, content])`: the factory makes entries that are not there, and is never asked to. */
const defaultDict: Constructor = ([, ...content], global, spend) => dict(content, global, spend);

const scalar: Constructor = (args, global) => numpyScalar(args[0], args[1]) ?? new InertRecord(global.name, args);

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
  if (tensor instanceof PickleTensor || tensor instanceof PickleOpaque) return tensor;
  if (tensor instanceof InertRecord) return new PickleOpaque(`made by ${tensor.global}`);
  throw new CorruptFileError("unpickle: a parameter holds no tensor; the file is damaged");
};

/** `(function, type, arguments, state)`: a tensor with attributes, which are dropped. */
const typedTensor: Constructor = ([rebuild, , args], _, spend) => {
  if (rebuild instanceof PickleGlobal && rebuild.name.startsWith("torch._utils."))
    return callGlobal(rebuild, args, spend);
  throw new CorruptFileError("unpickle: a typed tensor is not built from a tensor; the file is damaged");
};

/** `(class, object, None)`: how protocols 0 and 1 create an object. */
const reconstruct: Constructor = ([type, , content]) => {
  if (type instanceof PickleGlobal && constructors.get(type.name) === record) return new PickleRecord(type.name);
  if (type instanceof PickleGlobal && isInert(type)) return withContent(new InertRecord(type.name), content);
  throw new CorruptFileError("unpickle: an object of no known class; the file is damaged");
};

/** A subclass of dict or list carries its content along. */
function withContent(target: InertRecord, content: PickleValue | undefined): InertRecord {
  if (content instanceof PickleDict) for (const [key, value] of content.entries) target.entries.set(key, value);
  if (content instanceof PickleList) for (const item of content.items) target.items.push(item);
  return target;
}

/** `(class, …arguments)`: how protocols 0 and 1 write what later ones have an instruction for. */
const newObject: Constructor = ([type, ...args], _, spend) => callGlobal(type, new PickleTuple(args), spend);

/** `(class, name)`: a member of an enumeration, or a class within a class; by name only. @throws ForbiddenGlobalError */
const attribute: Constructor = ([owner, name], global) => {
  if (typeof name !== "string" || canAct(`_.${name}`)) throw new ForbiddenGlobalError(global.name);
  if (owner instanceof PickleGlobal) return findGlobal(owner.name, name);
  if (owner instanceof InertRecord) return new InertRecord(global.name, [owner, name]);
  throw new ForbiddenGlobalError(global.name);
};

/** The one function that acts and that harmless files call: Python 3.11 writes members of enumerations by it. */
export const attributeName = "builtins.getattr";

const constructors: ReadonlyMap<string, Constructor> = new Map<string, Constructor>([
  ["collections.OrderedDict", dict],
  ["collections.Counter", dict],
  ["collections.defaultdict", defaultDict],
  ["builtins.dict", dict],
  ["builtins.list", list],
  ["builtins.tuple", ([items]) => new PickleTuple(items === undefined ? [] : itemsOf(items))],
  [attributeName, attribute],
  ["builtins.set", set],
  ["builtins.frozenset", set],
  ["builtins.bytes", latin1],
  ["builtins.bytearray", latin1],
  ["_codecs.encode", latin1],
  ["copyreg._reconstructor", reconstruct],
  ["copyreg.__newobj__", newObject],
  ["argparse.Namespace", record],
  ["types.SimpleNamespace", record],
  ["torch.device", record],
  ["torch.Size", ([items]) => new PickleTuple(itemsOf(items))],
  ["torch._utils._rebuild_tensor", (args) => typedTensorOf(args)],
  ["torch._utils._rebuild_tensor_v2", (args) => typedTensorOf(args)],
  ["torch._utils._rebuild_tensor_v3", (args) => untypedTensorOf(args)],
  ["torch._utils._rebuild_parameter", parameter],
  ["torch._utils._rebuild_parameter_with_state", parameter],
  ["torch._tensor._rebuild_from_type_v2", typedTensor],
  ["numpy.dtype", record],
  ["numpy.core.multiarray.scalar", scalar],
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

/** Whether nothing is known of a global but its name. */
function isInert({ name }: PickleGlobal): boolean {
  return !constructors.has(name) && !mentioned.has(name);
}

/** A global by module and name, which may be of an unknown class. @throws ForbiddenGlobalError for names that can act */
export function findGlobal(module: string, name: string): PickleGlobal {
  const full = `${renamed.get(module) ?? module}.${name}`;
  if (!constructors.has(full) && canAct(full)) throw new ForbiddenGlobalError(`${module}.${name}`);
  return new PickleGlobal(full);
}

/**
 * What calling `callee` with a tuple of arguments yields: data where the callee is known, else a record of the call.
 *
 * @throws CorruptFileError if it cannot be called
 */
export function callGlobal(callee: PickleValue | undefined, args: PickleValue | undefined, spend: Spend): PickleValue {
  if (callee instanceof InertRecord && args instanceof PickleTuple)
    return new InertRecord(callee.global, [callee, args]);
  const known = callee instanceof PickleGlobal ? constructors.get(callee.name) : undefined;
  const construct = known ?? (callee instanceof PickleGlobal && isInert(callee) ? inert : undefined);
  if (!(callee instanceof PickleGlobal) || !construct || !(args instanceof PickleTuple)) {
    throw new CorruptFileError("unpickle: something is called that is not callable; the file is damaged");
  }
  return construct(args.items, callee, spend);
}
