import {
  InertRecord,
  PickleDict,
  PickleGlobal,
  PickleList,
  PickleRecord,
  PickleSet,
  PickleTuple,
  type PickleValue,
} from "../../../engine/files/pytorch/pickle_values.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { type PickleParts, pickleBytes } from "./pickle_bytes.ts";

/** A value in plain terms, so that trees can be compared. */
export function plain(value: PickleValue): unknown {
  if (value instanceof PickleDict) return Object.fromEntries([...value.entries].map(([k, v]) => [String(k), plain(v)]));
  if (value instanceof PickleList) return value.items.map(plain);
  if (value instanceof PickleTuple) return { tuple: value.items.map(plain) };
  if (value instanceof PickleSet) return { set: value.items.map(plain) };
  if (value instanceof InertRecord && value.entries.size > 0) {
    return { entries: Object.fromEntries([...value.entries].map(([k, v]) => [String(k), plain(v)])) };
  }
  if (value instanceof InertRecord && value.items.length > 0) return { items: value.items.map(plain) };
  if (value instanceof PickleGlobal) return { global: value.name };
  if (value instanceof PickleRecord) return { [value.global]: plain(value.state), args: value.args.map(plain) };
  return value;
}

/** Value of the pickle of some instructions, in plain terms. */
export function load(...parts: PickleParts): unknown {
  return plain(unpickle(pickleBytes(...parts, ".")).value);
}
