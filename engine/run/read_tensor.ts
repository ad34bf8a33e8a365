import type { HostArray } from "../core/dtype.ts";
import { ReusedTensorError } from "../core/errors.ts";
import type { Program } from "../core/program.ts";
import { showShape } from "../core/shape.ts";
import { alignUp, indexFlagsName, StateStorage } from "../core/storage.ts";
import { stateOf, Tensor } from "../core/tensor.ts";
import { Executable } from "./executable.ts";
import { readBackBytes, splitReadBack } from "./host_transfer.ts";
import { runnerOf } from "./recorded_program.ts";

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

async function readState(x: Tensor, storage: StateStorage): Promise<HostArray> {
  const flags = storage.flagsOf?.flags.map(({ tensor }) => tensor) ?? [];
  const tensors = [x, ...flags];
  const [values] = await copyOut(
    x,
    tensors,
    (tensor) => ({ buffer: (stateOf(tensor) ?? storage).buffer, offset: tensor.byteOffset }),
    storage.flagsOf,
  );
  if (!values) throw new ReusedTensorError("read: nothing came back");
  return values;
}

async function readOutput(program: Program, x: Tensor): Promise<HostArray> {
  const executable = runnerOf(program);
  if (!executable) throw new ReusedTensorError(`read: the program "${program.name}" has not run yet; call run first`);
  if (x.storage.kind === "virtual" && executable.plan.reused.has(x.storage)) {
    throw new ReusedTensorError(
      `read: the memory of this ${showShape(x.shape)} tensor of "${program.name}" was given to another one; return it from the recording function to declare it an output`,
    );
  }
  const tensors = [x, ...program.flags.map(({ tensor }) => tensor)];
  const [values] = await copyOut(x, tensors, (tensor) => executable.locate(tensor), program);
  if (!values) throw new ReusedTensorError("read: nothing came back");
  return values;
}

async function copyOut(
  x: Tensor,
  tensors: readonly Tensor[],
  locate: (tensor: Tensor) => { buffer: GPUBuffer; offset: number },
  program: Program | undefined,
): Promise<HostArray[]> {
  const { device } = x;
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
  return splitReadBack(program, tensors, data);
}

/** Runs what `x` needs of an eager recording and gives it a buffer of its own. */
async function runEager(program: Program, x: Tensor): Promise<void> {
  const { device } = x;
  const storage = x.storage;
  if (storage.kind !== "virtual") return;
  const own = new StateStorage(device, `value ${showShape(x.shape)}`, storage.sizeBytes, undefined, program);
  const commands = [...program.commands];
  const target = new Tensor(device, [storage.sizeBytes / 4], "u32", own);
  const source = new Tensor(device, [storage.sizeBytes / 4], "u32", storage);
  program.assign(target, source);
  const executable = await Executable.create(program, []);
  program.commands.splice(0, program.commands.length, ...commands.filter((command) => !writesState(command)));
  executable.submit();
  storage.materialized = own;
  executable.destroy();
}

function writesState(command: Program["commands"][number]): boolean {
  if (command.type === "assign") return true;
  return command.kernel.bindings.some(({ name, access }) => {
    const operand = command.operands[name];
    // A value that an earlier read gave a buffer of its own is no state: others may still need the command that computed it.
    const storage = access === "write" ? operand?.storage : undefined;
    return storage?.kind === "state" && storage.name !== indexFlagsName;
  });
}
