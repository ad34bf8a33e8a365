export {
  checkFixtures,
  type FixtureFolder,
  type GoldenReport,
  type GoldenRow,
  goldenCases,
} from "./conformance/index.ts";
export * from "./data/index.ts";
export type { ImageInput, ImageItem } from "./data/sources/image_input.ts";
export * from "./data/views/index.ts";
export * from "./evaluation/index.ts";
export type { Exchange, Route, Waiting } from "./exchange/exchange.ts";
export { dropPathRates } from "./methods/finetune/drop_path.ts";
export * from "./methods/finetune/dry_run.ts";
export * from "./methods/finetune/export_step.ts";
export * from "./methods/finetune/finetune.ts";
export * from "./methods/finetune/finetune_config.ts";
export { type PretrainPlan, type PretrainPlanData, planPretraining } from "./methods/mae/dry_run.ts";
export * from "./methods/mae/export_step.ts";
export type { GivenModel } from "./methods/mae/mae_model.ts";
export { modelSettings } from "./methods/mae/model_settings.ts";
export * from "./methods/mae/pretrain.ts";
export * from "./methods/mae/pretrain_config.ts";
export * from "./methods/refine/benchmark_step.ts";
export { type ContrastiveLoss, contrastiveLoss, type ViewLayout } from "./methods/refine/contrastive_loss.ts";
export { type ExportStepOptions, exportRefineStep } from "./methods/refine/export_step.ts";
export { ContrastiveHead, type HeadConfig, type HeadForwardOptions, type HeadResult } from "./methods/refine/head.ts";
export * from "./methods/refine/planning/few_updates.ts";
export { withPlannedOffload } from "./methods/refine/planning/planned_offload.ts";
export { NeighbourQueue } from "./methods/refine/queue.ts";
export * from "./methods/refine/refine.ts";
export * from "./methods/refine/refine_config.ts";
export { type HeadPlacement, RefinerModel, type RefinerModelConfig } from "./methods/refine/refiner_model.ts";
export {
  nearestName,
  parseConfig,
  type SettingProblem,
  SettingsError,
} from "./methods/setting_errors.ts";
export { workersSchema } from "./methods/workers_setting.ts";
export * from "./published/index.ts";
export { CollapseError } from "./training/collapse_error.ts";
export type { ExportedStep } from "./training/export_update.ts";
export { MemoryRunStore, type RunStore } from "./training/run_store.ts";
export { learningRateAt, peakLearningRate, type Schedule } from "./training/schedule.ts";
export { StateDifferenceError } from "./training/state_difference_error.ts";
export type { RunDifference } from "./verification/verified_store.ts";
export {
  type Verification,
  VerificationError,
  type VerifiedRange,
  verifyRun,
} from "./verification/verify_run.ts";
export { type VtabOptions, type VtabResult, vtab } from "./vtab/vtab.ts";
export { type VtabDifference, vtabDifferences } from "./vtab/vtab_comparison.ts";
export {
  type VtabConfig,
  type VtabPreset,
  vtabConfig,
  vtabPreset,
  vtabPresets,
  vtabSchema,
} from "./vtab/vtab_config.ts";
export type { VtabEvent } from "./vtab/vtab_events.ts";
export { parseVtabList, type VtabLine } from "./vtab/vtab_lists.ts";
export { type PlannedVtab, planVtab, timeVtab, type VtabPlan, type VtabTime } from "./vtab/vtab_plan.ts";
export type { VtabRun, VtabRunName } from "./vtab/vtab_results.ts";
export type { VtabGroupResult, VtabMean, VtabTaskResult } from "./vtab/vtab_summary.ts";
export { type VtabGroup, type VtabList, type VtabTask, type VtabTaskName, vtabTasks } from "./vtab/vtab_tasks.ts";
