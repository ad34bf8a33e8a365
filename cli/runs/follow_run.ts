import type { FinetuneEvent, PretrainEvent, RefineEvent } from "../../refiner/index.ts";
import { Progress } from "../output/progress.ts";
import type { Output } from "../output/streams.ts";

type RunEvent = RefineEvent | PretrainEvent | FinetuneEvent;
type EventOf<Event extends RunEvent, Kind extends RunEvent["kind"]> = Extract<Event, { readonly kind: Kind }>;

/** Seconds that a part of a run took. */
export interface Timing {
  readonly name: string;
  readonly seconds: number;
}

/** What a command shows of a run beside its progress, notices and broken images. */
export interface RunDisplay<Event extends RunEvent> {
  /** Called before the run writes anything, once its options proved right. */
  readonly start?: (event: EventOf<Event, "start">) => Promise<void>;
  /** Called with the first update of each stage. @returns what its progress counts, in the plural */
  readonly stage?: (event: EventOf<Event, "update">) => string;
  readonly update?: (event: EventOf<Event, "update">) => void;
  readonly knn?: (event: EventOf<Event, "knn">) => void;
  readonly test?: (event: EventOf<Event, "test">) => void;
  /** Called before a line is printed, and at the end. */
  readonly clear?: () => void;
}

/** Follows a run until it ends and shows its progress on stderr. */
export async function followRun<Event extends RunEvent, Result>(
  run: AsyncGenerator<Event, Result>,
  output: Output,
  display: RunDisplay<Event>,
): Promise<{ readonly result: Result; readonly timings: readonly Timing[] }> {
  const timings = new PartTimes();
  const progress = new StageProgress(output);
  try {
    for (;;) {
      const next = await run.next();
      if (next.done) {
        progress.end();
        display.clear?.();
        return { result: next.value, timings: timings.list };
      }
      timings.spend(next.value);
      await show(next.value, { output, display, progress });
    }
  } catch (error) {
    await run.throw(error); // where the display failed, the run gives free what it holds, such as its folder
    throw error;
  }
}

async function show<Event extends RunEvent>(
  event: Event,
  { output, display, progress }: { output: Output; display: RunDisplay<Event>; progress: StageProgress },
): Promise<void> {
  if (isOf(event, "start")) return display.start?.(event);
  if (isOf(event, "update")) {
    progress.update(event, () => display.stage?.(event) ?? "updates");
    return display.update?.(event);
  }
  if (event.kind === "checkpoint") return;
  progress.end();
  if (isOf(event, "knn")) return display.knn?.(event);
  if (isOf(event, "test")) return display.test?.(event);
  display.clear?.();
  if (isOf(event, "broken")) output.warning(`left out: ${event.text}`);
  if (isOf(event, "notice")) output.notice(event.text);
}

function isOf<Event extends RunEvent, Kind extends RunEvent["kind"]>(
  event: Event,
  kind: Kind,
): event is EventOf<Event, Kind> {
  return event.kind === kind;
}

/** A bar per stage. */
class StageProgress {
  #stage: number | undefined;
  #progress: Progress | undefined;

  constructor(readonly output: Output) {}

  update(event: EventOf<RunEvent, "update">, unit: () => string): void {
    if (event.stage !== this.#stage) {
      this.end();
      this.#stage = event.stage;
      this.#progress = new Progress(this.output, event.of, unit(), event.update - 1);
    }
    this.#progress?.update(event.update);
  }

  end(): void {
    this.#progress?.end();
  }
}

/** Time by the part of a run that it was spent on: what came before an event belongs to it. */
class PartTimes {
  readonly #seconds = new Map<string, number>();
  #last = performance.now();

  spend(event: RunEvent): void {
    const part = partOf(event);
    if (part === undefined) return;
    const now = performance.now();
    this.#seconds.set(part, (this.#seconds.get(part) ?? 0) + (now - this.#last) / 1000);
    this.#last = now;
  }

  get list(): readonly Timing[] {
    return [...this.#seconds].map(([name, seconds]) => ({ name, seconds }));
  }
}

function partOf(event: RunEvent): string | undefined {
  if (event.kind === "update") return `stage ${event.stage}`;
  if (event.kind === "knn") return "k-NN evaluations";
  if (event.kind === "test") return "tests";
  return event.kind === "checkpoint" ? "checkpoints" : undefined;
}
