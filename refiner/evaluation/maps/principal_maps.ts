import type { VisionTransformer } from "../../../models/index.ts";
import type { ImageSource, RgbImage } from "../../data/image_source.ts";
import { collectFeatures } from "../features/encode_features.ts";
import type { EvaluationViewOptions } from "../features/evaluation_inputs.ts";
import type { FeatureBlock } from "../features/feature_blocks.ts";
import { FeatureExtractor } from "../features/feature_extractor.ts";
import { colourMap } from "../statistics/feature_colours.ts";
import { componentScores, principalComponents } from "../statistics/principal_components.ts";

export interface PrincipalMapOptions extends EvaluationViewOptions {
  /** Default `last`: the encoder's final output. */
  readonly block?: FeatureBlock;
  readonly signal?: AbortSignal;
  /** Told where the components are only near: the variances hardly differ. */
  readonly onNotice?: (text: string) => void;
}

/**
 * The three leading principal components of patch features as red, green and blue, over all patches of all images at once, so that
 * like colours mean like features throughout. No patch is taken for background. The sign of a component is fixed: its largest
 * coordinate is positive.
 *
 * @returns per image a picture of one pixel per patch
 * @throws EvaluationError for fewer than 2 patches in all, or a width below 3; NonFiniteFeaturesError; OptionError for a block that the
 *   model does not have; BrokenImageError; the reason of the signal
 */
export async function principalMaps(
  model: VisionTransformer,
  source: ImageSource,
  { block = "last", signal, onNotice, ...view }: PrincipalMapOptions = {},
): Promise<RgbImage[]> {
  const extractor = new FeatureExtractor(model, { ...view, blocks: [block], pooling: "patches" });
  const { rows, columns } = extractor.grid;
  const onBroken = (error: Error): void => {
    throw error; // every image given is to be shown
  };
  const reading = { maxBad: 0, onBroken, ...(signal ? { signal } : {}) };
  const { features } = await collectFeatures(extractor, source, reading).finally(() => extractor.destroy());
  const [data = new Float32Array()] = features.map((matrix) => matrix.data);
  const patches = rows * columns;
  const tokens = { rows: source.length * patches, columns: model.config.width, data };
  const components = principalComponents(tokens, 3);
  if (!components.converged)
    onNotice?.(
      "the principal components did not converge, since their variances hardly differ: colours may be mixtures of them",
    );
  const colours = colourMap(componentScores(tokens, components));
  return Array.from({ length: source.length }, (_, i) => ({
    width: columns,
    height: rows,
    channels: 3,
    data: colours.slice(3 * i * patches, 3 * (i + 1) * patches),
  }));
}
