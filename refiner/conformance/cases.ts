import { augmentCase } from "./augment.ts";
import { corruptionsCase } from "./corruptions.ts";
import { clusteringCase } from "./evaluation/clustering.ts";
import { fewShotSubsetsCase } from "./evaluation/few_shot_subsets.ts";
import { lowShotCase } from "./evaluation/low_shot.ts";
import { robustnessCase } from "./evaluation/robustness.ts";
import { finetuneCase } from "./finetune/finetune.ts";
import { finetuneScheduleCase } from "./finetune_schedule.ts";
import type { GoldenCheck } from "./fixture.ts";
import { headCase } from "./head.ts";
import { knnCase } from "./knn.ts";
import { layerDecayGroupsCase } from "./layer_decay_groups.ts";
import { maeCase } from "./mae.ts";
import { metricsCase } from "./metrics.ts";
import { mixupCase } from "./mixup.ts";
import { positionsCase } from "./positions.ts";
import { linearProbeCase } from "./probes/linear_probe.ts";
import { randAugmentCase } from "./rand_augment.ts";
import { randomErasingCase } from "./random_erasing.ts";
import { scheduleCase } from "./schedule.ts";
import { segmentationProbeCase } from "./segmentation_probe.ts";
import { distributedCase } from "./trajectory/distributed.ts";
import { trajectoryCase } from "./trajectory/trajectory.ts";
import { vitCase } from "./vit.ts";

/** The checks by the name of their fixture case: a new one is a file beside these and a line here. */
export const cases: Readonly<Record<string, GoldenCheck>> = {
  "vit-prenorm": vitCase,
  "vit-postnorm": vitCase,
  mae: maeCase,
  "pos-embed": positionsCase,
  schedule: scheduleCase,
  augment: augmentCase,
  corruptions: corruptionsCase,
  "nnclr-head": headCase,
  "nnclr-topk": headCase,
  "nnclr-allswap": headCase,
  knn: knnCase,
  metrics: metricsCase,
  randaugment: randAugmentCase,
  "random-erasing": randomErasingCase,
  "linear-probe": linearProbeCase,
  "segmentation-probe": segmentationProbeCase,
  "finetune-schedule": finetuneScheduleCase,
  "few-shot-subsets": fewShotSubsetsCase,
  "logreg-lowshot": lowShotCase,
  "clustering-more": clusteringCase,
  robustness: robustnessCase,
  "refine-trajectory-stage2": trajectoryCase,
  "refine-trajectory-stage3": trajectoryCase,
  distributed: distributedCase,
  finetune: finetuneCase,
  "layer-decay-groups": layerDecayGroupsCase,
  mixup: mixupCase,
};
