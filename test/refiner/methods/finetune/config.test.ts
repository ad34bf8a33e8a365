import { describe, expect, it } from "vitest";
import { OptionError } from "../../../../engine/index.ts";
import { vitConfig, type vitPresets } from "../../../../models/index.ts";
import { finetuneConfig, finetunePreset, finetunePresets, SettingsError } from "../../../../refiner/index.ts";
import { planFinetune } from "../../../../refiner/methods/finetune/finetune_cut.ts";

describe("the settings of fine-tuning", () => {
  it("are by default those of the published full fine-tuning of an L/16", () => {
    expect(finetuneConfig()).toMatchObject({
      batch: 1024,
      epochs: 50,
      warmup: 5,
      learningRate: 1e-3,
      endLearningRate: 0,
      weightDecay: 0.05,
      layerDecay: 0.75,
      beta1: 0.9,
      beta2: 0.999,
      adamEpsilon: 1e-8,
      dropPath: 0.2,
      labelSmoothing: 0.1,
      mixup: 0.8,
      cutmix: 1,
      randAugment: 2,
      randAugmentMagnitude: 0.9,
      erase: 0.25,
      area: [0.08, 1],
      flip: 0.5,
      ema: 0,
    });
  });

  it("know the published numbers of each size", () => {
    const ofSize = (preset: string, size: keyof typeof vitPresets) =>
      finetuneConfig({ ...finetunePreset(preset, vitConfig(size)) });
    expect(ofSize("paper", "l16")).toMatchObject({ dropPath: 0.2, mixup: 0.8, batch: 1024 });
    expect(ofSize("paper", "h14")).toMatchObject({ dropPath: 0.3 });
    expect(ofSize("paper_1percent", "l16")).toMatchObject({
      learningRate: 3e-5,
      weightDecay: 0.05,
      batch: 512,
      dropPath: 0,
      mixup: 0,
      randAugment: 0,
      erase: 0,
    });
    expect(ofSize("paper_1percent", "h14")).toMatchObject({ weightDecay: 0.4 });
    expect(ofSize("paper_10percent", "l16")).toMatchObject({
      randAugment: 2,
      erase: 0,
      mixup: 0,
      dropPath: 0,
      batch: 512,
    });
    expect(ofSize("paper_10percent", "twob14")).toMatchObject({
      erase: 0.25,
      mixup: 0.8,
      frozenShare: 0.25,
      batch: 256,
    });
    expect(ofSize("paper_lowshot", "l16")).toMatchObject({
      batch: 250,
      learningRate: 1e-4,
      dropPath: 0,
      randAugment: 0,
    });
    expect(ofSize("paper_lowshot", "h14")).toMatchObject({ batch: 125, learningRate: 1e-4, epochs: 50, warmup: 5 });
    expect(ofSize("paper_lowshot", "twob14")).toMatchObject({ batch: 125, frozenShare: 0.25, mixup: 0, erase: 0 });
    expect(ofSize("paper_shots", "twob14")).toMatchObject({ frozenShare: 0.25, batch: 256, cutmix: 0 });
    for (const preset of finetunePresets) for (const size of ["ti16", "b16", "twob14"] as const) ofSize(preset, size);
  });

  it("refuse an unknown preset, key and value by name", () => {
    expect(() => finetunePreset("papers", vitConfig("b16"))).toThrow(OptionError);
    expect(() => finetunePreset("constructor", vitConfig("b16"))).toThrow(OptionError);
    expect(() => finetuneConfig({ layerDecoy: 0.5 })).toThrow(/did you mean layerDecay/);
    expect(() => finetuneConfig({ dropPath: 1 })).toThrow(SettingsError);
  });

  it("refuse odd batches of pairs", () => {
    expect(() => finetuneConfig({ batch: 9 })).toThrow(/even numbers/);
    expect(() => finetuneConfig({ batch: 8, microBatch: 3 })).toThrow(/even numbers/);
    expect(finetuneConfig({ batch: 9, microBatch: 3, mixup: 0, cutmix: 0 }).batch).toBe(9);
  });
});

describe("the plan of fine-tuning", () => {
  it("drops the last, incomplete batch of an epoch", () => {
    const config = finetuneConfig({ batch: 10, epochs: 3 });
    expect(planFinetune(config, 39)).toMatchObject({ updates: 9, updatesPerEpoch: 3, evaluateEvery: 1 });
  });

  it("refuses less than one batch", () => {
    expect(() => planFinetune(finetuneConfig({ batch: 10 }), 9)).toThrow(/less than one batch/);
  });
});
