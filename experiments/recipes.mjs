// Sizes and settings of the experiments, as options of the commands.

/** A tiny vision transformer and the decoder that it is pre-trained with. */
export const model = {
  width: 64,
  blocks: 6,
  attentionHeads: 4,
  decoderWidth: 48,
  decoderBlocks: 1,
  decoderHeads: 4,
};

/** Masked pre-training from random weights. */
export const pretraining = { batch: 64, warmup: 1, learningRate: 6e-3, normalizePixels: "none" };

/** What the preset for small image sets leaves to the images. */
export const refinement = {
  preset: "small",
  heads: [2, 3, 4, "last"],
  batch: 64,
  stage2LearningRate: 4e-3,
  stage3LearningRate: 4e-3,
};

export const maskRatio = 0.75;

/** Widths of the preset `small`. */
export const headSizes = { projectorWidth: 256, predictorWidth: 512, outputWidth: 128, queueLength: 4096, count: 4 };
