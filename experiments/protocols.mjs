// The protocols of `mimrefine evaluate` and `finetune` on the encoders of an experiment, with an error beside each number.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { spreadLines } from "./emoji_data.mjs";
import { confusionsOf, hitsOf, iouSpread, meanOf, rightFormsOf } from "./errors_of_means.mjs";
import { firstLabelled } from "./idx_files.mjs";
import { makeScenes } from "./scenes.mjs";
import { Steps } from "./steps.mjs";

/**
 * A measured row: a cell per encoder, and differences between encoders.
 *
 * @typedef {{ value: number, error: number, text?: string }} Cell
 * @typedef {{ name: string, cells: Cell[], difference: (a: number, b: number) => Cell }} Row
 */

/** Everything that the protocols of one experiment share. */
export class Protocols {
  /**
   * @param encoders - `{ name, weights }` each
   * @param data - labelled `train` and `test`, `trained`, what the encoders saw, and `flip`, the probability of mirroring that suits them
   * @param sizes - how many images go into what costs most
   */
  constructor(folder, encoders, data, sizes) {
    this.folder = join(folder, "protocols");
    this.steps = new Steps(this.folder);
    this.encoders = encoders;
    this.data = data;
    this.sizes = sizes;
  }

  /** Cached features, and so no crops: the encoder runs once per image. */
  async linear() {
    return [await this.#byImages("linear probe (cached features)", "linear", { cache: true, preset: "small" })];
  }

  async lowshot() {
    const lines = await this.#evaluations("lowshot", "lowshot", this.#images);
    return lines[0].details.summary.map(({ shots }) => {
      const runs = lines.map(({ details }) =>
        details.runs.filter((run) => run.shots === shots).map((run) => run.accuracy),
      );
      return {
        name: `${shots}-shot, 3 draws`,
        cells: runs.map(meanOf),
        difference: (a, b) => meanOf(runs[b].map((accuracy, i) => accuracy - runs[a][i])),
      };
    });
  }

  /** The start of least inertia, and beside it all ten: that start is often not the one that agrees best with the classes. */
  async cluster() {
    const row = await this.#byImages("k-means accuracy", "cluster", {});
    const lines = await this.#evaluations("cluster", "cluster", {});
    const ofStarts = (name) => {
      const cells = lines.map(({ details }) => {
        const all = details.restarts.map((restart) => restart[name.toLowerCase()]);
        const [mean, lowest, highest] = [meanOf(all).value, Math.min(...all), Math.max(...all)];
        const shown = [mean, lowest, highest].map((share) => (100 * share).toFixed(1));
        return { value: mean, text: `${shown[0]} (${shown[1]} … ${shown[2]})` };
      });
      const title = `k-means ${name}, mean of ten starts (lowest … highest)`;
      return { name: title, cells, difference: (a, b) => ({ value: cells[b].value - cells[a].value }) };
    };
    return [row, ofStarts("accuracy"), ofStarts("NMI")];
  }

  async finetune() {
    const { train, test, flip } = this.data;
    const { finetuneImages, finetuneBatch: batch } = this.sizes;
    const images = await this.#some(train, finetuneImages, "finetune");
    const hits = [];
    let used = 0;
    for (const encoder of this.encoders) {
      const step = `finetune_${encoder.name}`;
      const { weights } = encoder;
      const options = { weights, images, preset: "small", batch, epochs: 10, warmup: 1, flip, evaluate: false };
      used = (await this.steps.train(step, "finetune", options)).images;
      const classifier = join(this.folder, step, "classifier.safetensors");
      const predictions = this.#predictions("classified", encoder);
      const judged = { classifier, test, predictions, force: true };
      await this.steps.evaluate(`classified_${encoder.name}`, "robustness", judged);
      hits.push(await hitsOf(predictions));
    }
    return [pairedRow(`fine-tuned, 10 epochs of ${used} images`, hits)];
  }

  /** Mean IoU over the photograph and the classes, with bootstrap errors over test images. */
  async segment() {
    const { scenes, segmentEpochs } = this.sizes;
    const folder = join(this.folder, "scenes");
    const sides = {
      train: { images: this.data.trained, count: scenes.train },
      test: { images: this.data.test, count: scenes.test },
    };
    await this.steps.once("scenes", () => makeScenes(folder, sides, this.data.packages));
    const predicted = (name) => join(this.folder, `segment_${name}_predicted`);
    const lines = [];
    for (const { name, weights } of this.encoders) {
      const options = {
        weights,
        images: join(folder, "train"),
        masks: join(folder, "train-masks"),
        test: join(folder, "test"),
        testMasks: join(folder, "test-masks"),
        predictedMasks: predicted(name),
        epochs: segmentEpochs,
        testEvery: Math.ceil(segmentEpochs / 2),
        out: join(this.folder, `segment_${name}`),
      };
      lines.push(await this.steps.evaluate(`segment_${name}`, "segment", options));
    }
    const { classes } = lines[0].details;
    const images = await Promise.all(
      this.encoders.map(({ name }) => confusionsOf(join(folder, "test-masks"), predicted(name), classes)),
    );
    const row = {
      name: `segmentation, mean IoU of ${classes} classes`,
      cells: images.map((confusions) => iouSpread(classes, confusions)),
      difference: (a, b) => iouSpread(classes, images[a], images[b]),
    };
    return [row];
  }

  /** Clean, and the mean over 13 corruptions at five severities, whose error is that over images: each counts once, by its share. */
  async robustness() {
    await this.#corrupted();
    const files = this.encoders.map((encoder) => this.#predictions("robustness", encoder));
    const hits = await Promise.all(files.map(hitsOf));
    const shares = await Promise.all(files.map(rightFormsOf));
    return [
      pairedRow(`linear classifier, ${hits[0].length} clean test images`, hits),
      pairedRow("the same, 13 corruptions", shares),
    ];
  }

  /** Means over the five severities of every corruption. */
  async corruptions() {
    const lines = await this.#corrupted();
    return lines[0].details.perCorruption.map(({ corruption }, i) => {
      const values = lines.map(({ details }) => details.perCorruption[i].accuracy);
      return {
        name: corruption.replaceAll("_", " "),
        cells: values.map((value) => ({ value })),
        difference: (a, b) => ({ value: values[b] - values[a] }),
      };
    });
  }

  async #corrupted() {
    const test = await this.#some(this.data.test, this.sizes.corruptedImages, "t10k-corrupted");
    return this.#evaluations("robustness", "robustness", { make: "all", test });
  }

  get #images() {
    const { train, test } = this.data;
    return { images: train, test };
  }

  async #byImages(name, protocol, options) {
    await this.#evaluations(protocol, protocol, options);
    const files = this.encoders.map((encoder) => this.#predictions(protocol, encoder));
    return pairedRow(name, await Promise.all(files.map(hitsOf)));
  }

  #predictions(step, { name }) {
    return join(this.folder, `${step}_${name}.csv`);
  }

  async #evaluations(step, protocol, options) {
    const lines = [];
    for (const encoder of this.encoders) {
      const given = { weights: encoder.weights, ...this.#images, ...options };
      // Of several draws each has predictions of its own.
      const predictions = protocol === "lowshot" ? {} : { predictions: this.#predictions(step, encoder), force: true };
      lines.push(await this.steps.evaluate(`${step}_${encoder.name}`, protocol, { ...given, ...predictions }));
    }
    return lines;
  }

  /** The first labelled images of a file, or lines spread evenly over a list; all of them without a number. */
  async #some(images, count, name) {
    if (count === undefined) return images;
    const isList = images.endsWith(".jsonl");
    const file = join(this.folder, isList ? `${name}.jsonl` : `${name}-images-idx3-ubyte`);
    await this.steps.once(`${name}_images`, async () => {
      await mkdir(this.folder, { recursive: true });
      if (isList) await spreadLines(images, file, count);
      else await firstLabelled(images, file, count);
      return { count };
    });
    return file;
  }
}

/** What was measured on every test image of every encoder: means, and means of differences image by image. */
function pairedRow(name, values) {
  return {
    name,
    cells: values.map(meanOf),
    difference: (a, b) => meanOf(values[b].map((value, i) => value - values[a][i])),
  };
}
