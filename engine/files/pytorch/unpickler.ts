import { ForbiddenGlobalError } from "../errors.ts";
import { PickleCursor } from "./pickle_cursor.ts";
import { damaged, PickleMachine } from "./pickle_machine.ts";
import { parseFloat64, parseIndex, parseInteger, unescapeUnicode, unquote } from "./pickle_text.ts";
import {
  PickleDict,
  PickleList,
  PickleSet,
  type PickleStorage,
  PickleTuple,
  type PickleValue,
} from "./pickle_values.ts";

const newestProtocol = 5; // PEP 574

type Step = (m: PickleMachine) => void;

function extension(code: number): never {
  throw new ForbiddenGlobalError(`extension ${code}`);
}

const list: Step = (m) => {
  const items = m.popMark();
  m.push(new PickleList());
  m.appendTo(items);
};
const dict: Step = (m) => {
  const items = m.popMark();
  m.push(new PickleDict());
  m.setIn(items);
};
const frozenset: Step = (m) => {
  const items = m.popMark();
  m.push(new PickleSet());
  m.addTo(items);
};
const call: Step = (m) => {
  const [callee, args] = m.popTuple(2).items;
  m.call(callee, args);
};
const callWithKeywords: Step = (m) => {
  const [callee, args, keywords] = m.popTuple(3).items;
  m.callWithKeywords(callee, args, keywords);
};
const stackGlobal: Step = (m) => {
  const [module = null, name = null] = m.popTuple(2).items;
  m.pushGlobal(module, name);
};
const instance: Step = (m) => {
  const args = new PickleTuple(m.popMark());
  m.pushGlobal(m.cursor.line(), m.cursor.line());
  m.call(m.pop(), args);
};
const object: Step = (m) => {
  const [type, ...args] = m.popMark();
  m.call(type, new PickleTuple(args));
};
const protocol: Step = (m) => {
  const version = m.cursor.uint8();
  if (version > newestProtocol) throw damaged(`protocol ${version}, known are 0 to ${newestProtocol}`);
};

/** What each instruction does; https://docs.python.org/3/library/pickletools.html names and explains them. */
const steps: ReadonlyMap<string, Step> = new Map<string, Step>([
  ["\x80", protocol],
  ["\x95", (m) => void m.cursor.uint64()], // FRAME: a hint how much to read at once
  // Numbers and constants
  ["I", (m) => m.push(parseInteger(m.cursor.line()))],
  ["L", (m) => m.push(parseInteger(m.cursor.line()))],
  ["J", (m) => m.push(m.cursor.int32())],
  ["K", (m) => m.push(m.cursor.uint8())],
  ["M", (m) => m.push(m.cursor.uint16())],
  ["\x8a", (m) => m.push(m.cursor.long(m.cursor.uint8()))],
  ["\x8b", (m) => m.push(m.cursor.long(m.cursor.uint32()))],
  ["F", (m) => m.push(parseFloat64(m.cursor.line()))],
  ["G", (m) => m.push(m.cursor.float64())],
  ["N", (m) => m.push(null)],
  ["\x88", (m) => m.push(true)],
  ["\x89", (m) => m.push(false)],
  // Text and bytes
  ["S", (m) => m.push(unquote(m.cursor.line()))],
  ["U", (m) => m.push(m.cursor.oldText(m.cursor.uint8()))],
  ["T", (m) => m.push(m.cursor.oldText(m.cursor.uint32()))],
  ["V", (m) => m.push(unescapeUnicode(m.cursor.line()))],
  ["\x8c", (m) => m.push(m.cursor.text(m.cursor.uint8()))],
  ["X", (m) => m.push(m.cursor.text(m.cursor.uint32()))],
  ["\x8d", (m) => m.push(m.cursor.text(m.cursor.uint64()))],
  ["C", (m) => m.push(m.cursor.take(m.cursor.uint8()))],
  ["B", (m) => m.push(m.cursor.take(m.cursor.uint32()))],
  ["\x8e", (m) => m.push(m.cursor.take(m.cursor.uint64()))],
  ["\x96", (m) => m.push(m.cursor.take(m.cursor.uint64()))],
  // Containers
  ["]", (m) => m.push(new PickleList())],
  ["a", (m) => m.appendTo([m.pop()])],
  ["e", (m) => m.appendTo(m.popMark())],
  ["l", list],
  [")", (m) => m.push(new PickleTuple([]))],
  ["t", (m) => m.push(new PickleTuple(m.popMark()))],
  ["\x85", (m) => m.push(m.popTuple(1))],
  ["\x86", (m) => m.push(m.popTuple(2))],
  ["\x87", (m) => m.push(m.popTuple(3))],
  ["}", (m) => m.push(new PickleDict())],
  ["s", (m) => m.setIn(m.popTuple(2).items)],
  ["u", (m) => m.setIn(m.popMark())],
  ["d", dict],
  ["\x8f", (m) => m.push(new PickleSet())],
  ["\x90", (m) => m.addTo(m.popMark())],
  ["\x91", frozenset],
  // Stack and memo
  ["(", (m) => m.mark()],
  ["0", (m) => m.discard()],
  ["1", (m) => void m.popMark()],
  ["2", (m) => m.push(m.top())],
  ["p", (m) => m.store(parseIndex(m.cursor.line()))],
  ["q", (m) => m.store(m.cursor.uint8())],
  ["r", (m) => m.store(m.cursor.uint32())],
  ["\x94", (m) => m.store()],
  ["g", (m) => m.recall(parseIndex(m.cursor.line()))],
  ["h", (m) => m.recall(m.cursor.uint8())],
  ["j", (m) => m.recall(m.cursor.uint32())],
  // Globals and objects
  ["c", (m) => m.pushGlobal(m.cursor.line(), m.cursor.line())],
  ["\x93", stackGlobal],
  ["R", call],
  ["\x81", call],
  ["\x92", callWithKeywords],
  ["i", instance],
  ["o", object],
  ["b", (m) => m.build(m.pop())],
  ["Q", (m) => m.pushStorage(m.pop())],
  ["\x82", (m) => extension(m.cursor.uint8())],
  ["\x83", (m) => extension(m.cursor.uint16())],
  ["\x84", (m) => extension(m.cursor.uint32())],
]);

/** A pickle's value, its length in bytes, and every storage that it mentions by key. */
export interface Unpickled {
  readonly value: PickleValue;
  readonly length: number;
  readonly storages: ReadonlyMap<string, PickleStorage>;
}

/**
 * Reads one pickle, protocols 0 to 5. It knows how to build data only: no path leads from here to code.
 *
 * @param bytes - starts with the pickle; what follows it is ignored
 * @param totalBytes - bytes that exist from there on, of which `bytes` are at hand
 * @throws ForbiddenGlobalError for names that can act, such as `os.system`
 * @throws CorruptFileError, TruncatedFileError
 * @throws NeedMoreBytes if the pickle is longer than `bytes` and `totalBytes` says that there is more
 */
export function unpickle(bytes: Uint8Array, totalBytes = bytes.byteLength): Unpickled {
  const cursor = new PickleCursor(bytes, totalBytes);
  const machine = new PickleMachine(cursor);
  for (let code = cursor.uint8(); code !== 0x2e; code = cursor.uint8()) {
    const step = steps.get(String.fromCharCode(code));
    if (!step) throw damaged(`0x${code.toString(16)} at byte ${cursor.position - 1} is no instruction`);
    step(machine);
  }
  machine.finish();
  return { value: machine.pop(), length: cursor.position, storages: machine.storages };
}
