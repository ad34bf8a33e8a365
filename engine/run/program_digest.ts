import { operandsOf } from "../core/command.ts";
import type { Command, Tensor } from "../core/recording.ts";
import { hexadecimal, sha256 } from "../core/sha256.ts";
import { stateOf } from "../core/tensor.ts";
import type { Plan } from "../plan/planner.ts";
import type { Outputs, RecordedProgram } from "./recorded_program.ts";

/**
 * SHA-256 of a program in hexadecimal digits: of every command its shader as it is compiled, constants, uniform values, workgroups,
 * shapes and places in memory, and the sizes of the arenas. Compiles the program if it has not run.
 *
 * @throws as `RecordedProgram.compile`
 */
export async function programDigest<T extends Outputs>(recorded: RecordedProgram<T>): Promise<string> {
  const { pipelines, plan } = await recorded.compile();
  const texts = new Map<string, number>(); // each stands once, however often it is launched
  const commands = plan.commands.map(({ command, inPlace }, i) => {
    const text = pipelines[i]?.recipe.text ?? "";
    if (!texts.has(text)) texts.set(text, texts.size);
    return [texts.get(text), inPlace, ...describe(command, plan)];
  });
  const value = JSON.stringify([[...texts.keys()], commands, plan.arenaBytes, plan.inputBytes]);
  return hexadecimal(await sha256(new TextEncoder().encode(value)));
}

function describe(command: Command, plan: Plan): unknown[] {
  const operands = operandsOf(command).map((x) => [x.shape, x.dtype, placeOf(x, plan)]);
  if (command.type === "assign") return ["assign", operands];
  const { kernel, params, workgroups, options } = command;
  return [kernel.name, params, workgroups, options.constants ?? {}, operands];
}

/** Where a tensor lies: by the name of its state, which has no place that is the same from run to run. */
function placeOf(x: Tensor, plan: Plan): unknown[] {
  const state = stateOf(x);
  if (state) return ["state", state.name, x.byteOffset];
  const place = x.storage.kind === "virtual" ? plan.placements.get(x.storage) : undefined;
  if (!place) return ["input", x.byteOffset];
  return "arena" in place
    ? [place.arena, place.offset + x.byteOffset]
    : ["state", place.state.name, place.offset + x.byteOffset];
}
