import type { Device, RecordedProgram, Tensor } from "../../engine/index.ts";
import type { ImageBatch } from "../data/index.ts";
import { type Exchange, oneRank } from "../exchange/exchange.ts";
import type { RunState } from "../training/run_state.ts";
import type { RunStore } from "../training/run_store.ts";
import { StateDifferenceError } from "../training/state_difference_error.ts";
import { type ComingHash, type StateHash, StateHasher } from "../training/state_hash.ts";
import type { TrainingStage, UpdatePlace } from "../training/training_method.ts";
import type { SubmittedUpdate, UpdatesDone, UpdateWatch } from "../training/update_watch.ts";
import { batchHash } from "./batch_hash.ts";
import { appendHash, type HashLine, rewindHashes, stateAt } from "./hash_log.ts";
import { programDigests } from "./program_digest.ts";
import { sharedHash } from "./shared_hash.ts";
import { copyState } from "./state_copy.ts";

/** What hashing needs of a method of training. */
export interface HashedMethod {
  /** Begins messages. */
  readonly name: string;
  readonly device: Device;
  state(): RunState;
  /** The programs of the present stage. */
  programs(): readonly RecordedProgram<Record<string, Tensor>>[];
}

export interface HashOptions {
  readonly store: RunStore;
  /** Percent of the updates that are computed twice; before 20 times as many, the state is hashed once more. Default 0. */
  readonly recheck?: number;
  /** Of several ranks, each of which holds a part of the state: all hash theirs, and the first one writes. Default: this process alone. */
  readonly exchange?: Exchange;
}

/** Hashes at rest for each update that is computed twice: they cost a hundredth of it, so that both together stay in proportion. */
const restChecks = 20;

const testMemory =
  "a bit flipped on this machine: test its memory and its GPU, then go on with --resume, from the last checkpoint before it";

/**
 * Hashes what every update of a training leaves, on the device, and writes it to `hashes.jsonl`, with a hash of its batch. It can
 * compute updates twice, and then tells a machine that does not give the same bits for the same work.
 */
export class HashedUpdates implements UpdateWatch {
  #hasher: StateHasher | undefined;
  #stage = 0;
  /** What the last update left: here, and of all ranks. */
  #own: Promise<StateHash> | undefined;
  #last: Promise<StateHash> | undefined;
  /** Lines are written one after the other. */
  #written: Promise<void> = Promise.resolve();
  #lines: HashLine[] | undefined;
  #areProgramsTold = false;

  constructor(
    readonly method: HashedMethod,
    readonly options: HashOptions,
  ) {}

  /** Kernel launches of one hash of the present stage. */
  get dispatches(): number {
    return this.#hasher?.dispatches ?? 0;
  }

  /** @throws StateDifferenceError where a run goes on from another state than the one it recorded */
  async begin({ stage }: TrainingStage, { update, total }: UpdatesDone): Promise<void> {
    this.#hasher?.destroy();
    this.#hasher = new StateHasher(this.method.device, this.method.state());
    this.#stage = stage;
    this.#areProgramsTold = false;
    const own = await (await this.#hasher.take())();
    const start = await this.#whole(own);
    this.#lines ??= [...(await rewindHashes(this.options.store, { stage, update }))];
    const recorded = stateAt(this.#lines, { stage, update });
    if (recorded && recorded.state !== start.whole) {
      throw new StateDifferenceError(
        `${this.method.name}: the state after update ${update} of stage ${stage} is not the one that the run recorded`,
        { updates: total, tensors: start.differingTags(recorded.tags) },
        "the checkpoint or hashes.jsonl was changed: put the old one back, or start again with --force",
      );
    }
    if (!recorded) {
      const { whole, tags, names } = start;
      await this.#append({ kind: "state", stage, update, updates: total, names, state: whole, tags });
    }
    this.#own = Promise.resolve(own);
    this.#last = Promise.resolve(start);
  }

  async run<Result>(
    batch: ImageBatch,
    place: UpdatePlace,
    submit: () => Promise<SubmittedUpdate<Result>>,
  ): Promise<SubmittedUpdate<Result>> {
    const hasher = this.#present;
    const { recheck = 0 } = this.options;
    const data = await batchHash(batch, this.#exchange);
    const left = this.#own;
    const found = isRechecked(place.total, Math.min(100, restChecks * recheck)) ? await hasher.take() : undefined;
    const { result, after } = isRechecked(place.total, recheck)
      ? await this.#twice(submit, place, found)
      : { ...(await submit()), after: await hasher.take() };
    this.#own = after();
    // Several ranks meet for the numbers of the update first: one exchange is under way at a time.
    const state = this.#exchange.size === 1 ? this.#own : this.#afterNumbers(result, this.#own);
    this.#last = state;
    const told = this.#written.then(async () => {
      await this.#checkRest(place, await left, await found?.());
      const { whole, tags } = await state;
      await this.#tellPrograms(place.update);
      await this.#append({
        kind: "state",
        stage: this.#stage,
        update: place.update + 1,
        updates: place.total + 1,
        batch: data,
        state: whole,
        tags,
      });
    });
    this.#written = told;
    told.catch(() => undefined); // reported with the result
    return { result: Promise.all([result, told]).then(([numbers]) => numbers) };
  }

  async #afterNumbers(result: Promise<unknown>, own: Promise<StateHash>): Promise<StateHash> {
    own.catch(() => undefined); // reported below, or after the error of the numbers
    await result;
    return this.#whole(await own);
  }

  #whole(own: StateHash): Promise<StateHash> {
    return sharedHash(own, this.method.state().whole, this.#exchange);
  }

  get #exchange(): Exchange {
    return this.options.exchange ?? oneRank;
  }

  present(): Promise<StateHash | undefined> {
    return Promise.resolve(this.#last);
  }

  /** Frees the program that hashes. */
  destroy(): void {
    this.#hasher?.destroy();
    this.#hasher = undefined;
  }

  get #present(): StateHasher {
    if (!this.#hasher) throw new Error(`${this.method.name}: no stage was begun`);
    return this.#hasher;
  }

  /** What lay in memory since the last update must be what it left. */
  async #checkRest({ update, total }: UpdatePlace, left: StateHash | undefined, found: StateHash | undefined) {
    if (!left || !found || left.whole === found.whole) return;
    throw new StateDifferenceError(
      `${this.method.name}: before update ${update + 1} of stage ${this.#stage} the state is not the one that the update before it left`,
      { updates: total, tensors: left.differing(found) },
      testMemory,
    );
  }

  /** Makes an update twice, from one state. @throws StateDifferenceError where the two differ */
  async #twice<Result>(
    submit: () => Promise<SubmittedUpdate<Result>>,
    place: UpdatePlace,
    before: ComingHash | undefined,
  ): Promise<SubmittedUpdate<Result> & { readonly after: ComingHash }> {
    const { method } = this;
    const hasher = this.#present;
    const restore = await copyState(method.state());
    const first = await submit();
    const afterFirst = await hasher.take();
    const once = { numbers: await first.result, state: await afterFirst() };
    await restore();
    const again = await hasher.take();
    const second = await submit();
    const after = await hasher.take();
    const twice = { numbers: await second.result, state: await after() };
    const number = `update ${place.update + 1} of stage ${this.#stage}`;
    const [start, restored] = [await before?.(), await again()];
    if (start && start.whole !== restored.whole) {
      throw new StateDifferenceError(
        `${method.name}: the state before ${number} was copied to the host and back, and is another`,
        { updates: place.total, tensors: start.differing(restored) },
        testMemory,
      );
    }
    const isSame = JSON.stringify(once.numbers) === JSON.stringify(twice.numbers);
    if (once.state.whole !== twice.state.whole || !isSame) {
      throw new StateDifferenceError(
        `${method.name}: ${number} was computed twice from one state and gave two results`,
        { updates: place.total + 1, tensors: once.state.differing(twice.state) },
        testMemory,
      );
    }
    return { result: second.result, after };
  }

  /** Once a stage, and again only where a run goes on with others. */
  async #tellPrograms(update: number): Promise<void> {
    if (this.#areProgramsTold) return;
    this.#areProgramsTold = true;
    const stage = this.#stage;
    const programs = await programDigests(this.method.programs());
    const last = this.#lines?.findLast((line) => line.kind === "programs" && line.stage === stage);
    if (last?.kind === "programs" && JSON.stringify(last.programs) === JSON.stringify(programs)) return;
    await this.#append({ kind: "programs", stage, update, programs });
  }

  async #append(line: HashLine): Promise<void> {
    if (line.kind === "programs") this.#lines?.push(line);
    await appendHash(this.options.store, line);
  }
}

/** Spread evenly: every 100th update of 1 %, every update of 100 %. */
export function isRechecked(updatesBefore: number, percent: number): boolean {
  const share = percent / 100;
  return Math.floor((updatesBefore + 1) * share) > Math.floor(updatesBefore * share);
}
