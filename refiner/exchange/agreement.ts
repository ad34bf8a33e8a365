import type { Exchange } from "./exchange.ts";

/** What ranks would decide differently, each by its own clock and the signals that reached it. */
export class Agreement {
  #isStopped = false;
  #isSaveDue = false;

  constructor(
    readonly exchange: Exchange,
    readonly signal: AbortSignal | undefined,
    /** Whether a checkpoint is due by the clock. */
    private readonly saveIsDue: () => boolean,
  ) {}

  /** Whether the run is to end after the present update. */
  get isStopped(): boolean {
    return this.exchange.size > 1 ? this.#isStopped : this.signal?.aborted === true;
  }

  get isSaveDue(): boolean {
    return this.exchange.size > 1 ? this.#isSaveDue : this.saveIsDue();
  }

  /** Brings the ranks to one opinion, which holds until the next call: a stop that one was asked for, a save by the first one's clock. */
  async settle(): Promise<void> {
    if (this.exchange.size === 1) return;
    const own = `${this.signal?.aborted === true ? "stop" : ""} ${this.saveIsDue() ? "save" : ""}`;
    this.take(await this.exchange.share(own));
  }

  private take(opinions: readonly string[]): void {
    this.#isStopped ||= opinions.some((opinion) => opinion.startsWith("stop"));
    this.#isSaveDue = opinions[0]?.endsWith("save") === true;
  }
}
