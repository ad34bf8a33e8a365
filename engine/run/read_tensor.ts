import { readBy, writtenBy } from "../core/command.ts";
import type { HostArray } from "../core/dtype.ts";
import { ReusedTensorError } from "../core/errors.ts";
import { entryWithoutRule } from "../core/gradient_paths.ts";
import type { Command, Program, Tensor, VirtualStorage } from "../core/recording.ts";
import { showShape } from "../core/shape.ts";
import { alignUp, indexFlagsName, StateStorage } from "../core/storage.ts";
import { insertEarly } from "../core/tape.ts";
import { emptyLike, Tensor as StateTensor, stateOf } from "../core/tensor.ts";
import { Executable } from "./executable.ts";
import { readBackBytes, splitReadBack } from "./host_transfer.ts";

/** Copies a tensor to the host; see `Tensor.read`. */
export async function readTensor(x: Tensor): Promise<HostArray> {
  x.device.throwIfLost();
  if (!stateOf(x)) {
    const program = x.program;
    if (program.eager) await runEager(program, x);
    else return readOutput(program, x);
  }
  const storage = stateOf(x);
  if (!storage) throw new ReusedTensorError(`read: a tensor of shape ${showShape(x.shape)} is never computed`);
  return readState(x, storage);
}

function readState(x: Tensor, storage: StateStorage): Promise<HostArray> {
  // Values of an eager recording are checked for the bad indices that it met.
  const program = x.storage.kind === "virtual" ? x.storage.owner.resolve() : undefined;
  return copyOut(x, program, (tensor) => ({
    buffer: (stateOf(tensor) ?? storage).buffer,
    offset: tensor.byteOffset,
  }));
}

async function readOutput(program: Program, x: Tensor): Promise<HostArray> {
  const { runner } = program;
  if (!runner) throw new ReusedTensorError(`read: the program "${program.name}" has not run yet; call run first`);
  if (x.storage.kind === "virtual" && runner.reused.has(x.storage)) {
    throw new ReusedTensorError(
      `read: the memory of this ${showShape(x.shape)} tensor of "${program.name}" was given to another one; return it from the recording function to declare it an output`,
    );
  }
  if (!stateOf(x) && !runner.holdsValues) {
    throw new ReusedTensorError(
      `read: another program of the workspace of "${program.name}" ran since; read outputs with run, or assign them to state`,
    );
  }
  return copyOut(x, program, (tensor) => runner.locate(tensor));
}

async function copyOut(
  x: Tensor,
  program: Program | undefined,
  locate: (tensor: Tensor) => { buffer: GPUBuffer; offset: number },
): Promise<HostArray> {
  const { device } = x;
  const tensors = [x, ...(program?.flags ?? []).map(({ tensor }) => tensor)];
  const bytes = readBackBytes(tensors);
  const staging = device.staging.take(bytes);
  const encoder = device.gpu.createCommandEncoder({ label: "read" });
  let to = 0;
  for (const tensor of tensors) {
    const { buffer, offset } = locate(tensor);
    encoder.copyBufferToBuffer(buffer, offset, staging, to, alignUp(tensor.sizeBytes, 4));
    to += alignUp(tensor.sizeBytes, 8);
  }
  device.submit(encoder.finish());
  const data = await device.staging.collect(staging, bytes);
  device.throwIfLost();
  const [values] = splitReadBack(program, tensors, data);
  if (!values) throw new ReusedTensorError("read: nothing came back");
  return values;
}

/** Runs what `x` needs of an eager recording and gives it a buffer of its own. */
async function runEager(program: Program, x: Tensor): Promise<void> {
  const { device } = x;
  const storage = x.storage;
  if (storage.kind !== "virtual") return;
  const own = new StateStorage(device, `value ${showShape(x.shape)}`, storage.sizeBytes);
  const commands = [...program.commands];
  const target = new StateTensor(device, [storage.sizeBytes / 4], "u32", own);
  const source = new StateTensor(device, [storage.sizeBytes / 4], "u32", storage);
  program.assign(target, source);
  const executable = await Executable.create(program, []);
  executable.submit();
  storage.materialized = own;
  const read = commands.flatMap(readBy).map((source) => source.storage);
  const from = new Set(read.filter((source) => source.kind === "state"));
  own.computed = { order: device.sequence.next++, from };
  keepDependence(program, storage, commands);
  const left = commands.flatMap(withoutValues);
  program.commands.splice(0, program.commands.length, ...left);
  executable.destroy();
}

/** Leaves on the tape that a value without a rule of its own depends on others: the command that tells so is about to go. */
function keepDependence(program: Program, storage: VirtualStorage, commands: readonly Command[]): void {
  for (const command of [...commands].reverse()) {
    for (const y of writtenBy(command)) {
      const entry = y.storage === storage ? entryWithoutRule(program, y, command) : undefined;
      if (entry) insertEarly(program.tape, entry);
    }
  }
}

/**
 * What stays to be run of an eager recording after a read: state was updated and must not be so again, and a value that has a
 * buffer of its own is kept as it was read, even if the state that it was computed from changes.
 */
function withoutValues(command: Command): Command[] {
  if (command.type === "assign") return [];
  const written = writtenBy(command);
  if (written.some(({ storage }) => storage.kind === "state" && storage.name !== indexFlagsName)) return [];
  const known = written.filter(({ storage }) => storage.kind === "virtual" && storage.materialized);
  if (known.length === 0) return [command];
  if (written.every((x) => known.includes(x) || x.storage.kind === "state")) return [];
  // Others may still need the command: it then writes again beside the values that are known.
  const operands = Object.entries(command.operands).map(([name, x]): [string, Tensor] => [
    name,
    known.includes(x) ? emptyLike(x) : x,
  ]);
  return [{ ...command, operands: Object.fromEntries(operands) }];
}
