import { programDigest, type RecordedProgram, type Tensor } from "../../engine/index.ts";

/**
 * SHA-256 of programs, by their names (see `programDigest`). Adapters whose kernel variants differ have different ones, and may
 * give the same bits all the same.
 */
export async function programDigests(
  programs: readonly RecordedProgram<Record<string, Tensor>>[],
): Promise<Readonly<Record<string, string>>> {
  const digests: Record<string, string> = {};
  for (const recorded of programs) digests[recorded.program.name] = await programDigest(recorded);
  return digests;
}
