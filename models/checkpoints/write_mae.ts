import type { ByteSink } from "../../engine/files/index.ts";
import type { MaskedAutoencoder } from "../mae.ts";
import { decoderHeadsKey } from "./own_config.ts";
import { encoderContent, type ReadableParameter, type WriteOptions, writeEncoder } from "./write_encoder.ts";

/**
 * Writes a masked autoencoder, encoder and decoder, as safetensors under the names of Facebook's MAE; with LayerScale under
 * timm's, which are the same and have a name for it.
 */
export function saveMae(
  sink: ByteSink,
  model: MaskedAutoencoder,
  options: Pick<WriteOptions, "source" | "method"> = {},
): Promise<void> {
  const { config, parameters } = encoderContent(model.encoder);
  const decoder = [...model.decoderParameters.tensors].map(([name, tensor]): [string, ReadableParameter] => [
    name,
    { shape: tensor.shape, read: async () => Float32Array.from(await tensor.read()) },
  ]);
  const content = {
    config,
    parameters: new Map([...parameters, ...decoder, ["decoder_pos_embed", flatDecoderPositions(model)]]),
  };
  return writeEncoder(sink, content, {
    ...options,
    names: config.layerScale === "none" ? "mae" : "timm",
    metadata: { [decoderHeadsKey]: String(model.decoder.heads) },
  });
}

/** `[1, classTokens + rows * columns, width]`, zeros for the class token. */
function flatDecoderPositions(model: MaskedAutoencoder): ReadableParameter {
  const { classTokens } = model.encoder.config;
  const [, rows = 0, columns = 0, width = 0] = model.decoderPositions.shape;
  const shape = [1, classTokens + rows * columns, width];
  return {
    shape,
    async read() {
      const values = new Float32Array((classTokens + rows * columns) * width);
      values.set(await model.decoderPositions.read(), classTokens * width);
      return values;
    },
  };
}
