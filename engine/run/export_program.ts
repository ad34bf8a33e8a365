import { ValidationError } from "../core/errors.ts";
import { type Kernel, requiredFeatures, shaderText } from "../core/kernel.ts";
import type { Dispatch, Program, Storage, Tensor, VirtualStorage } from "../core/recording.ts";
import { alignUp, type StateStorage } from "../core/storage.ts";
import { Tensor as StateTensor, stateOf } from "../core/tensor.ts";
import type { Plan } from "../plan/planner.ts";
import { submitCuts } from "../plan/submit_cuts.ts";
import type { StepHeader, StepTensor } from "../step/load_step.ts";
import { canonicalText } from "./canonical_text.ts";
import { layOutUniforms } from "./executable.ts";
import { packStep, type StepParts } from "./pack_step.ts";

export interface ExportOptions {
  /** State to be read and written by name in the exported step, which holds the values of all state that it touches in any case. */
  readonly state?: Readonly<Record<string, Tensor>>;
  /** Texts that the header carries, such as where the step came from. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A program with its plan and outputs. */
interface ExportedProgram {
  readonly program: Program;
  readonly plan: Plan;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

type StepCommand = StepHeader["submits"][number][number];
type StepRange = StepCommand["ranges"][number];

/**
 * Writes a recorded program as a step that `mimrefine/step` runs without the engine; `engine/step/load_step.ts` has the format.
 *
 * @returns the pieces of the file, in order
 * @throws ValidationError for a tensor named as state that is none, or by the name of an output
 */
export async function exportProgram(exported: ExportedProgram, options: ExportOptions = {}): Promise<Uint8Array[]> {
  const { program, plan, outputs } = exported;
  const { state = {}, metadata = {} } = options;
  for (const [name, tensor] of Object.entries(state)) {
    if (stateOf(tensor) && !Object.hasOwn(outputs, name)) continue;
    const what = stateOf(tensor)
      ? "the name of an output, too; choose another"
      : "no state; name what lasts between runs";
    throw new ValidationError(`export: the state ${name} is ${what}`);
  }
  const writer = new StepWriter(exported);
  const commands = writer.commands();
  const cuts = submitCuts(plan.commands, false);
  const places = (tensors: Iterable<readonly [string, Tensor]>) =>
    Object.fromEntries([...tensors].map(([name, tensor]) => [name, writer.place(tensor)]));
  const contents = {
    name: program.name,
    numbers: program.device.reproducible ? ("grid" as const) : ("any" as const),
    metadata,
    submits: cuts.map((from, i) => commands.slice(from, cuts[i + 1])),
    inputs: places(program.inputs),
    outputs: places(Object.entries(outputs)),
    state: places(Object.entries(state)),
    flags: program.flags.map(({ tensor }) => writer.place(tensor)),
  };
  return packStep({ ...contents, ...(await writer.finish()) });
}

/** Numbers the buffers and kernels of a step as it meets them. */
class StepWriter {
  readonly #kernels: StepParts["kernels"][number][] = [];
  readonly #buffers: (StepParts["buffers"][number] | StateStorage)[] = [];
  readonly #features = new Set<string>();
  readonly #kernelNumbers = new Map<string, number>();
  readonly #bufferNumbers = new Map<Storage, number>();

  constructor(readonly exported: ExportedProgram) {
    const { plan, program } = exported;
    for (const bytes of plan.arenaBytes) this.#buffers.push({ bytes, usage: "storage" }); // so that buffer i is arena i
    for (const { storage } of program.inputs.values()) {
      const bytes = alignUp(storage.sizeBytes, 4);
      this.#bufferNumbers.set(storage, this.#buffers.push({ bytes, usage: "storage" }) - 1);
    }
  }

  commands(): StepCommand[] {
    const { commands } = this.exported.plan;
    const uniforms = layOutUniforms(commands, this.exported.program.device.reproducible);
    const { bytes } = uniforms;
    const buffer =
      bytes.length > 0 ? this.#buffers.push({ bytes: bytes.length, usage: "uniform", content: bytes }) - 1 : -1;
    return commands.map(({ command, inPlace }, i): StepCommand => {
      if (command.type === "assign")
        return { kernel: -1, workgroups: [], ranges: [this.#range(command.source), this.#range(command.target)] };
      const kernel = inPlace && command.options.inPlace ? command.options.inPlace.kernel : command.kernel;
      const uniform = uniforms.ranges[i];
      const ranges = kernel.bindings.map(({ name, access }): StepRange => {
        if (access === "uniform" && uniform) return { buffer, offset: uniform.offset, bytes: uniform.size };
        const operand = command.operands[name];
        if (!operand) throw new ValidationError(`export: ${kernel.name} has no operand ${name}`);
        return this.#range(operand);
      });
      return { kernel: this.#kernel(kernel, command.options), workgroups: command.workgroups, ranges };
    });
  }

  #kernel(kernel: Kernel, { constants = {}, declarations = {} }: Dispatch["options"]): number {
    for (const feature of requiredFeatures(kernel, declarations)) this.#features.add(feature);
    const plain = shaderText(kernel, declarations);
    const text = this.exported.program.device.reproducible ? canonicalText(kernel, plain) : plain;
    const key = JSON.stringify([kernel.name, text, Object.entries(constants).sort()]);
    const known = this.#kernelNumbers.get(key);
    if (known !== undefined) return known;
    const bindings = kernel.bindings.map(({ access }) => bindingTypes[access]);
    const number = this.#kernels.push({ text, entry: kernel.name, constants, bindings }) - 1;
    this.#kernelNumbers.set(key, number);
    return number;
  }

  #range(tensor: Tensor): StepRange {
    const { buffer, offset } = this.place(tensor);
    return { buffer, offset, bytes: alignUp(tensor.sizeBytes, 4) };
  }

  /** Where a tensor lies. @throws ValidationError for one that the program never computes */
  place(tensor: Tensor): StepTensor {
    const { buffer, offset } = this.#placeOf(stateOf(tensor) ?? tensor.storage);
    return { dtype: tensor.dtype, shape: tensor.shape, buffer, offset: offset + tensor.byteOffset };
  }

  #placeOf(storage: Storage): { readonly buffer: number; readonly offset: number } {
    const known = this.#bufferNumbers.get(storage);
    if (known !== undefined) return { buffer: known, offset: 0 };
    if (storage.kind === "state") {
      const buffer = this.#buffers.push(storage) - 1;
      this.#bufferNumbers.set(storage, buffer);
      return { buffer, offset: 0 };
    }
    const place = this.#placement(storage);
    return "state" in place
      ? { buffer: this.#placeOf(place.state).buffer, offset: place.offset }
      : { buffer: place.arena, offset: place.offset };
  }

  #placement(storage: VirtualStorage) {
    const { plan, program } = this.exported;
    const place = plan.placements.get(storage);
    if (place) return place;
    throw new ValidationError(`export: ${program.name} never computes one of its outputs; compute it or leave it out`);
  }

  /** Reads the state that was met. @throws DeviceLostError */
  async finish(): Promise<StepParts> {
    const buffers: StepParts["buffers"][number][] = [];
    for (const buffer of this.#buffers) buffers.push("kind" in buffer ? await this.#read(buffer) : buffer);
    const features = [...this.#features].sort();
    // Texts hold the size: on subgroups of another, their shuffles and broadcasts would miss in silence.
    const usesSubgroups = features.some((feature) => feature.includes("subgroup"));
    const subgroupSize = usesSubgroups ? (this.exported.program.device.subgroupSize ?? 0) : 0;
    return { buffers, kernels: this.#kernels, features, subgroupSize };
  }

  async #read(state: StateStorage): Promise<StepParts["buffers"][number]> {
    const bytes = alignUp(state.sizeBytes, 4);
    if (!state.allocated) return { bytes, usage: "storage" };
    const words = await new StateTensor(this.exported.program.device, [bytes / 4], "u32", state).read();
    return { bytes, usage: "storage", content: new Uint8Array(words.buffer, words.byteOffset, words.byteLength) };
  }
}

const bindingTypes = { uniform: "uniform", read: "read-only-storage", write: "storage" } as const;
