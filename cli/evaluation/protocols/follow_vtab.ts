import { planVtab, type VtabConfig, type VtabResult, type VtabTask, vtab } from "../../../refiner/index.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { Progress } from "../../output/progress.ts";
import type { Output } from "../../output/streams.ts";
import type { ProtocolRun } from "../protocol.ts";

/** Makes the runs of VTAB-1k with progress on stderr. */
export async function followVtab(
  { model: encoder, store, resume, signal, output }: ProtocolRun,
  given: {
    readonly config: VtabConfig;
    readonly tasks: readonly VtabTask[];
    readonly imagePixels: number | undefined;
  },
): Promise<VtabResult> {
  const { updates, runs } = planVtab({ encoder, ...given });
  // Where there is no folder nothing can be gone on with, and checkpoints would fill the memory.
  const kept = store instanceof RunFolder ? { store } : {};
  const events = vtab({ encoder, ...given, ...kept, resume, signal });
  const bar = new RunsProgress(output, updates);
  let done = 0;
  try {
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      const event = next.value;
      if (event.kind === "update") bar.update(event.update);
      if (event.kind === "broken") output.warning(`left out: ${event.text}`);
      if (event.kind === "notice") output.notice(event.text);
      if (event.kind !== "run") continue;
      done++;
      bar.endRun(event.updates);
      const { task, stage, rate, seed, accuracy } = event.run;
      const text = `run ${done} of ${runs}: ${task}, ${stage}, rate ${rate}, seed ${seed}: ${accuracy.toFixed(4)}`;
      if (!event.wasKept) output.notice(text);
    }
  } finally {
    bar.end();
  }
}

/** One bar for the updates of all runs. */
class RunsProgress {
  #progress: Progress | undefined;
  /** Updates of finished runs. */
  #before = 0;

  constructor(
    readonly output: Output,
    readonly updates: number,
  ) {}

  update(update: number): void {
    const done = this.#before + update;
    this.#progress ??= new Progress(this.output, this.updates, "updates", done - 1);
    this.#progress.update(done);
  }

  endRun(updates: number): void {
    this.#before += updates;
  }

  end(): void {
    this.#progress?.end();
  }
}
