// Work of the two kinds of training, so that the control may have as much as the method. Multiply-adds of linear layers count
// two operations, a training step three passes; attention and norms are left out on both sides.

/** Operations per image of one MAE update. */
export function maeFlops({ pixels, patch, channels, width, blocks, maskRatio, decoderWidth, decoderBlocks }) {
  const patches = (pixels / patch) ** 2;
  const values = channels * patch ** 2;
  const kept = Math.floor(patches * (1 - maskRatio));
  const encoder = (kept + 1) * blockParameters(width, blocks) + kept * values * width;
  const decoder =
    (patches + 1) * (blockParameters(decoderWidth, decoderBlocks) + decoderWidth * values) +
    (kept + 1) * width * decoderWidth;
  return 6 * (encoder + decoder);
}

/** Operations per image of one update of stage 2 or 3, with two global views. */
export function refineFlops(model, heads, stage) {
  const { pixels, patch, channels, width, blocks } = model;
  const { projectorWidth, predictorWidth, outputWidth, count, queueLength } = heads;
  const tokens = (pixels / patch) ** 2 + 1;
  const encoder = tokens * (blockParameters(width, blocks) + channels * patch ** 2 * width);
  const head = projectorWidth * (width + projectorWidth + outputWidth) + 2 * outputWidth * predictorWidth;
  const lookup = queueLength * outputWidth;
  const views = 2;
  return views * ((stage === 2 ? 2 : 6) * encoder + count * (6 * head + 2 * lookup));
}

function blockParameters(width, blocks) {
  return 12 * width ** 2 * blocks; // q, k, v, projection: 4 width²; MLP: 8 width²
}
