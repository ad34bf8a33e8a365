import type { Checkpoint } from "../../engine/files/index.ts";
import { checkedReader, type StoredParameter, whole } from "./assemble_parameters.ts";
import { IncompleteWeightsError } from "./errors.ts";
import type { LoadReport } from "./load_report.ts";
import { decoderReason } from "./name_maps.ts";
import { nameBelow } from "./state_dict.ts";

/**
 * The decoder that stands beside an encoder, under the file's own names; each tensor is read when asked for.
 *
 * @param report - of the encoder, which dropped the decoder
 * @param warnings - gets the names of tensors with NaN and infinities once they were read
 * @throws IncompleteWeightsError if there is none
 */
export function storedDecoder(
  checkpoint: Checkpoint,
  { file, place, dropped }: LoadReport,
  warnings: string[] = [],
): Map<string, StoredParameter> {
  const paths = dropped.flatMap(({ names, reason }) => (reason === decoderReason ? names : []));
  if (paths.length === 0)
    throw new IncompleteWeightsError(
      `${file}: the file holds no decoder (decoder_embed.weight); give the full pre-training checkpoint of an MAE`,
      ["decoder_embed.weight"],
      [],
    );
  const read = checkedReader(checkpoint, warnings);
  return new Map(
    paths.map((path) => [
      nameBelow(place, path),
      whole(read, { path, shape: checkpoint.tensors.get(path)?.shape ?? [] }),
    ]),
  );
}
