import { type Outputs, type RecordedProgram, slice } from "../../../engine/index.ts";
import { orderedBatches } from "../../data/batches/batches.ts";
import type { RgbImage } from "../../data/image_source.ts";
import { BrokenImages } from "../../data/index.ts";
import type { LabelMap } from "../../data/masks/label_map.ts";
import type { LabelRules } from "../../data/masks/mask_labels.ts";
import { type LabelledImageSource, labelledPixels } from "../../data/masks/mask_source.ts";
import { EvaluationError } from "../core/errors.ts";
import type { ProbeHead } from "../probes/probe_grid.ts";
import type { ProbeHeads } from "../probes/probe_heads.ts";
import { addPixels, emptyConfusion, type PixelConfusion } from "./intersection.ts";
import { copyRegion, normalisedPlanes } from "./planes.ts";
import { encodedPatches, type SegmentationView } from "./segmentation_encoder.ts";
import { WindowPlan } from "./windows.ts";

/** Windows that the device sees at a time. */
const windowsPerRun = 8;

/** What a head says of one image. */
export interface SegmentedImage {
  /** Place in the tested set. */
  readonly index: number;
  readonly image: RgbImage;
  readonly labels: LabelMap;
  /** Class per pixel. */
  readonly predicted: Uint32Array;
}

export interface WindowTestOptions {
  readonly rules: LabelRules;
  readonly maxBad: number;
  readonly signal?: AbortSignal | undefined;
  readonly onNotice?: ((text: string) => void) | undefined;
  /** Images tested so far. */
  readonly onTested?: ((images: number, total: number) => void) | undefined;
  /** What the first head says of each image. */
  readonly onImage?: ((segmented: SegmentedImage) => Promise<void>) | undefined;
}

/** Tests heads on images at their own resolution, by sliding windows. */
export class WindowTest {
  readonly #program: RecordedProgram<Outputs>;
  readonly #names: readonly string[];

  /** @param columns - of the source that the heads read, where they are not all of it */
  constructor(
    readonly view: SegmentationView,
    readonly heads: ProbeHeads,
    columns?: readonly [from: number, to: number],
  ) {
    this.#program = heads.recordPredictions(windowsPerRun * view.rows * view.columns, {
      logits: true,
      source: (program) => {
        const rows = encodedPatches(program, view, windowsPerRun);
        return columns && columns[1] - columns[0] < (rows.shape[1] ?? 0) ? slice(rows, [undefined, columns]) : rows;
      },
    });
    this.#names = Object.keys(this.#program.outputs).filter((name) => name.startsWith("logits"));
  }

  /** What a run takes on the device, from the plan, weights of the encoder not counted. */
  get plannedBytes(): number {
    const { plannedPeakBytes, inputBytes } = this.#program.stats;
    return plannedPeakBytes + inputBytes;
  }

  /**
   * One confusion table per head over all images.
   *
   * @throws DataFormatError for a mask that does not fit; EvaluationError for an image that no head gives finite numbers for;
   *   TooManyBrokenImagesError; the reason of the signal
   */
  async tables({ images, masks }: LabelledImageSource, options: WindowTestOptions): Promise<PixelConfusion[]> {
    const { rules, maxBad, signal, onNotice, onTested, onImage } = options;
    const tables = this.heads.grid.heads.map(() => emptyConfusion(this.heads.classes));
    const broken = new BrokenImages(images.length, { maxBad, onBroken: (error) => onNotice?.(error.message) });
    let done = 0;
    for await (const batch of orderedBatches(images, { batchSize: 1, broken, ...(signal ? { signal } : {}) })) {
      for (const [place, image] of batch.images.entries()) {
        const index = batch.indices[place] ?? 0;
        const { labels } = await labelledPixels(masks, index, image, rules);
        const predicted = await this.#count(image, labels, tables, images.name(index));
        await onImage?.({ index, image, labels, predicted });
      }
      onTested?.(++done, images.length);
    }
    return tables;
  }

  /** Counts the pixels of one image in the tables of all heads; gives what the first head says of it. */
  async #count(
    image: RgbImage,
    labels: LabelMap,
    tables: readonly PixelConfusion[],
    name: string,
  ): Promise<Uint32Array> {
    const { grid, classes } = this.heads;
    const { plan, logits } = await this.#look(image);
    if (!grid.heads.some((head) => this.#isFinite(head, logits)))
      throw new EvaluationError(
        `segmentation: no head gives finite numbers for ${name}; the encoder's features of it are NaN or infinite: its weights are damaged, have diverged, or overflow`,
      );
    const cells = plan.cellOfPixels();
    const classOf = grid.heads.map(({ feature, rate }) => {
      const values = logits[feature] ?? new Float32Array();
      return plan.classes({ values, heads: grid.rates.length, head: rate, classes });
    });
    for (const [head, table] of tables.entries()) addPixels(table, labels.data, classOf[head] ?? [], cells);
    return cells.map((cell) => classOf[0]?.[cell] ?? 0);
  }

  /** Whether all logits of a head are numbers: those of one that diverged are not. */
  #isFinite({ feature, rate }: ProbeHead, logits: readonly Float32Array[]): boolean {
    const { grid, classes } = this.heads;
    const values = logits[feature] ?? new Float32Array();
    for (let from = rate * classes; from < values.length; from += grid.rates.length * classes)
      if (!values.subarray(from, from + classes).every(Number.isFinite)) return false;
    return true;
  }

  /** Logits of all windows of an image, per feature. */
  async #look(image: RgbImage): Promise<{ readonly plan: WindowPlan; readonly logits: readonly Float32Array[] }> {
    const { side, stride, rows, columns, channels, normalisation } = this.view;
    const size = { heightPixels: side, widthPixels: side, strideRows: stride, strideColumns: stride, rows, columns };
    const plan = new WindowPlan(image.height, image.width, size);
    const planes = normalisedPlanes(image, normalisation);
    const perWindow = rows * columns * this.heads.grid.rates.length * this.heads.classes;
    const logits = this.#names.map(() => new Float32Array(plan.windows.length * perWindow));
    const images = new Float32Array(windowsPerRun * channels * side * side);
    for (let first = 0; first < plan.windows.length; first += windowsPerRun) {
      const now = plan.windows.slice(first, first + windowsPerRun);
      for (const [place, window] of now.entries()) copyRegion(images, place, planes, window);
      const values = await (await this.#program.run({ images }, this.#names)).read();
      for (const [i, name] of this.#names.entries()) {
        const part = Float32Array.from(values[name] ?? []).subarray(0, now.length * perWindow);
        logits[i]?.set(part, first * perWindow);
      }
    }
    return { plan, logits };
  }

  destroy(): void {
    this.#program.destroy();
  }
}
