import type { GoldenCase, GoldenCheck } from "./fixture.ts";
import { compareMetricCase, compareSlides } from "./probes/segmentation_scores.ts";
import { compareTraining } from "./probes/segmentation_training.ts";
import { compareTransforms } from "./probes/segmentation_transforms.ts";

/** Linear segmentation probe: 18 heads over all updates, confusion tables, scores, sliding windows, and the crops of training. */
export const segmentationProbeCase: GoldenCheck = {
  run: checkSegmentationProbe,
  inputs: {
    tensors:
      /^((train|test)\/(blocks|labels)|initial\/.*|metric\/(predicted|labels)|slide\/(weight|bias)|slide\.\d\/(image|labels)|transform\/(image|labels))$/,
    keys: /^(num_classes|ignore_index|batch_size|grid|patch_size|dim|encoder_blocks|blocks_used|every_nth_block|lr_scale_batch|momentum|head_names|heads\..*|slide\.(crop|stride)|slide\.images\.\d\.(name|height|width)|transforms\.resolution|transforms\.cases\.\d\.(name|ratio_draw|flip_draw))$/,
    remarks: /^(note|slide\.images\.\d\.smallest_logit_margin)$/,
  },
};

async function checkSegmentationProbe(golden: GoldenCase): Promise<void> {
  golden.json.expect({ momentum: 0.9, ignore_index: -1, every_nth_block: 4 });
  await compareTraining(golden);
  await compareMetricCase(golden);
  await compareSlides(golden);
  await compareTransforms(golden);
}
