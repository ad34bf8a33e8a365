import type { HostArray, Tensor } from "../../engine/index.ts";
import { readChunk } from "../training/offload/arena_pieces.ts";
import { HostArena } from "../training/offload/host_arena.ts";
import type { RunState } from "../training/run_state.ts";

/**
 * A copy of a run's state in host memory, which a checkpoint takes as well.
 *
 * @returns what writes it back
 * @throws DeviceLostError
 */
export async function copyState(state: RunState): Promise<() => Promise<void>> {
  const onDevice: [Tensor, HostArray][] = [];
  const onHost: [HostArena, Float32Array[]][] = [];
  for (const arena of Object.values(state.arenas)) {
    if (arena instanceof HostArena) {
      await arena.settled();
      onHost.push([arena, arena.layout.chunks.map((_, i) => arena.chunk(i).slice())]);
    } else for (const chunk of arena.chunks) onDevice.push([chunk, await readChunk(chunk)]);
  }
  for (const tensor of Object.values({ ...state.tensors, ...state.lossScale }))
    onDevice.push([tensor, await tensor.read()]);
  return async () => {
    for (const [tensor, values] of onDevice) tensor.device.write(tensor, values);
    for (const [arena, chunks] of onHost) {
      await arena.settled();
      for (const [i, values] of chunks.entries()) arena.chunk(i).set(values);
    }
  };
}
