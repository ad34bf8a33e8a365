// The protocols of `mimrefine evaluate` and `finetune` on the encoders of an experiment, with an error beside each number.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { binomialError, confusionsOf, hitsOf, iouSpread, meanOf } from "./errors_of_means.mjs";
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
   * @param data - labelled `train` and `test`, and `flip`, the probability of mirroring that suits them
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

  /** Beside the start of least inertia the lowest and the highest accuracy of the ten. */
  async cluster() {
    const row = await this.#byImages("k-means accuracy", "cluster", {});
    const lines = await this.#evaluations("cluster", "cluster", {});
    const spreadOf = (name) =>
      lines.map(({ receipt, details }) => {
        const all = details.restarts.map((restart) => 100 * restart[name.toLowerCase()]);
        const { value } = receipt.scores.find((score) => score.name === name);
        const [lowest, highest] = [Math.min(...all), Math.max(...all)];
        return { value, text: `${(100 * value).toFixed(1)} (${lowest.toFixed(1)} … ${highest.toFixed(1)})` };
      });
    const range = (name) => ({
      name: `k-means ${name} (lowest … highest of ten starts)`,
      cells: spreadOf(name),
      difference: (a, b) => ({ value: spreadOf(name)[b].value - spreadOf(name)[a].value }),
    });
    return [row, range("accuracy"), range("NMI")];
  }

  async finetune() {
    const { train, test, flip } = this.data;
    const images = await this.#first(train, this.sizes.finetuneImages, "finetune");
    const found = [];
    for (const { name, weights } of this.encoders) {
      const options = { weights, images, test, preset: "small", epochs: 10, warmup: 1, flip, testEvery: 0 };
      found.push(await this.steps.train(`finetune_${name}`, "finetune", options));
    }
    const cells = found.map(({ last }) => ({
      value: last.accuracy,
      error: binomialError(last.accuracy, last.images),
    }));
    return [{ name: `fine-tuned, 10 epochs of ${found[0].images} images`, cells, difference: independent(cells) }];
  }

  /** Mean IoU over the photograph and the classes, with bootstrap errors over test images. */
  async segment() {
    const { scenes, segmentEpochs } = this.sizes;
    const folder = join(this.folder, "scenes");
    const sides = {
      train: { images: this.data.train, count: scenes.train },
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

  /** Clean, and the mean over 13 corruptions at five severities; the latter's error as if all were one measurement per image. */
  async robustness() {
    const lines = await this.#corrupted();
    const { images } = lines[0].receipt.scores[1];
    return [
      shareRow(`linear classifier, ${images} clean test images`, lines, ({ receipt }) => receipt.scores[1].value),
      shareRow("the same, 13 corruptions", lines, ({ receipt }) => receipt.scores[0].value),
    ];
  }

  /** Means over the five severities of every corruption. */
  async corruptions() {
    const lines = await this.#corrupted();
    return lines[0].details.perCorruption.map(({ corruption }, i) =>
      shareRow(corruption.replaceAll("_", " "), lines, ({ details }) => details.perCorruption[i].accuracy),
    );
  }

  async #corrupted() {
    const test = await this.#first(this.data.test, this.sizes.corruptedImages, "t10k-corrupted");
    return this.#evaluations("robustness", "robustness", { make: "all", test });
  }

  get #images() {
    const { train, test } = this.data;
    return { images: train, test };
  }

  async #byImages(name, protocol, options) {
    const lines = await this.#evaluations(protocol, protocol, options);
    const hits = await Promise.all(this.encoders.map((encoder) => hitsOf(this.#predictions(protocol, encoder))));
    return {
      name,
      cells: lines.map(({ receipt }, i) => ({ value: receipt.scores[0].value, error: meanOf(hits[i]).error })),
      difference: (a, b) => meanOf(hits[b].map((hit, i) => hit - hits[a][i])),
    };
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

  /** The first labelled images of a file, or all of them without a number; lists, which are short, stay whole. */
  async #first(images, count, name) {
    if (count === undefined || images.endsWith(".jsonl")) return images;
    const file = join(this.folder, `${name}-images-idx3-ubyte`);
    await this.steps.once(`${name}_images`, async () => {
      await mkdir(this.folder, { recursive: true });
      await firstLabelled(images, file, count);
      return { count };
    });
    return file;
  }
}

/** Errors of different encoders taken for independent, which is too large for the same test images. */
function independent(cells) {
  return (a, b) => ({ value: cells[b].value - cells[a].value, error: Math.hypot(cells[a].error, cells[b].error) });
}

/** Shares of the same test images, the second score of each line counting them. */
function shareRow(name, lines, value) {
  const { images } = lines[0].receipt.scores[1];
  const cells = lines.map((line) => ({ value: value(line), error: binomialError(value(line), images) }));
  return { name, cells, difference: independent(cells) };
}
