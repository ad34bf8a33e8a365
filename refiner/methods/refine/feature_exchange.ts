import type { Tensor } from "../../../engine/index.ts";
import { ownFloats } from "../../exchange/arena_sum.ts";
import { type Exchange, ownerOf } from "../../exchange/exchange.ts";
import type { FeatureState } from "./micro_batch_programs.ts";
import type { RefinerModel } from "./refiner_model.ts";

/** The way of pooled features from the ranks that encode images to those that heads live on, and of their gradients back. */
export class FeatureExchange {
  /**
   * @param local - of this rank's images, for all heads
   * @param whole - of the batch, for the heads that live here
   */
  constructor(
    readonly model: RefinerModel,
    readonly exchange: Exchange,
    readonly local: FeatureState,
    readonly whole: FeatureState,
  ) {}

  /** Brings the features of all heads to their owners. @throws DeviceLostError */
  async gather(): Promise<void> {
    await this.#gather(this.local.own, this.whole.own);
    if (this.local.taught) await this.#gather(this.local.taught, this.whole.taught ?? []);
  }

  async #gather(parts: readonly Tensor[], batches: readonly Tensor[]): Promise<void> {
    const coming = parts.map((part) => part.read());
    for (const values of coming) values.catch(() => undefined); // reported when its turn comes
    for (const [head, values] of coming.entries()) {
      const all = await this.exchange.gather(ownFloats(await values), this.#ownerOf(head));
      const batch = batches[this.model.owned.indexOf(head)];
      if (all && batch) batch.device.write(batch, this.#viewMajor(all));
    }
  }

  /** Brings what the owners left in the place of the features, their gradients, back to the images' ranks. @throws DeviceLostError */
  async scatter(): Promise<void> {
    const coming = this.whole.own.map((gradient) => gradient.read());
    for (const values of coming) values.catch(() => undefined); // reported when its turn comes
    for (const [head, part] of this.local.own.entries()) {
      const values = await coming[this.model.owned.indexOf(head)];
      const all = values && this.#rankMajor(ownFloats(values));
      part.device.write(part, await this.exchange.scatter(part.size, this.#ownerOf(head), all));
    }
  }

  #ownerOf(head: number): number {
    return ownerOf(head, this.model.placed.length, this.exchange.size);
  }

  /** Row v · m + b of rank r becomes row v · B + r · m + b. */
  #viewMajor(all: Float32Array<ArrayBuffer>): Float32Array {
    const result = new Float32Array(all.length);
    this.#blocks(all.length, (rankMajor, viewMajor, length) => {
      result.set(all.subarray(rankMajor, rankMajor + length), viewMajor);
    });
    return result;
  }

  #rankMajor(all: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    const result = new Float32Array(all.length);
    this.#blocks(all.length, (rankMajor, viewMajor, length) => {
      result.set(all.subarray(viewMajor, viewMajor + length), rankMajor);
    });
    return result;
  }

  /** Visits the rows of one rank's images in one view, by the two places where they begin. */
  #blocks(total: number, visit: (rankMajor: number, viewMajor: number, length: number) => void): void {
    const { size } = this.exchange;
    const rows = total / this.model.encoder.config.width;
    const views = rows / (size * this.local.images);
    const length = total / (size * views);
    for (let rank = 0; rank < size; rank++)
      for (let view = 0; view < views; view++)
        visit((rank * views + view) * length, (view * size + rank) * length, length);
  }
}
