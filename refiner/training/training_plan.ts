import type { TrainingStage } from "./training_method.ts";

/** Where a run stands: the number of a stage, and its completed updates. */
export interface RunPosition {
  readonly stage: number;
  readonly update: number;
}

/** Where the stages of a training stand within it, in updates and epochs. */
export class TrainingPlan<Stage extends TrainingStage> {
  constructor(readonly stages: readonly Stage[]) {}

  /** Of all stages. */
  get updates(): number {
    return this.stages.reduce((sum, { updates }) => sum + updates, 0);
  }

  /** Updates of the stages before one. */
  updatesBefore({ stage }: TrainingStage): number {
    return this.stages.filter((other) => other.stage < stage).reduce((sum, { updates }) => sum + updates, 0);
  }

  /** Epochs of the stages before one: an epoch begun counts as a whole one, since the next stage begins another. */
  epochsBefore({ stage }: TrainingStage): number {
    return this.stages
      .filter((other) => other.stage < stage)
      .reduce((sum, other) => sum + Math.ceil(other.updates / other.updatesPerEpoch), 0);
  }

  /** Epochs of all stages at the end of one. */
  epochsThrough(stage: TrainingStage): number {
    return this.epochsBefore(stage) + Math.ceil(stage.updates / stage.updatesPerEpoch);
  }

  /** Epochs of all stages if an evaluation on the way is due after that many updates of a stage. */
  evaluationDue(stage: TrainingStage, update: number): number | undefined {
    const { evaluateEvery = 0, updates, updatesPerEpoch } = stage;
    if (evaluateEvery <= 0 || update <= 0 || update >= updates) return undefined;
    const epochs = update / updatesPerEpoch;
    return epochs % evaluateEvery === 0 ? this.epochsBefore(stage) + epochs : undefined;
  }
}
