import type { Classifier } from "../../models/index.ts";
import { className, type ImageSource } from "../../refiner/data/index.ts";
import {
  type BlockFeatures,
  centredUnitRows,
  classifierPredictions,
  type FeatureBlock,
  fitLogisticRegression,
  imageNetAClasses,
  imageNetRClasses,
  type LogisticRegression,
  labelledImages,
  linearPredictions,
  type TestPredictions,
} from "../../refiner/evaluation/index.ts";
import { Progress } from "../output/progress.ts";
import { UsageError } from "../program/usage_error.ts";
import { type BlockOptions, encodedFeatures, featureChoice } from "./encoded_features.ts";
import type { ProtocolRun } from "./protocol.ts";

/** The classes of a published set among the 1000 of ImageNet. */
export const classLists = { "imagenet-a": imageNetAClasses, "imagenet-r": imageNetRClasses } as const;

/** How the classes of test images are found among those of a classifier. */
export interface TesterOptions extends BlockOptions {
  readonly testedClasses: boolean;
  readonly classList?: keyof typeof classLists;
  readonly penalty: number;
}

/** What is tested on clean and corrupted images. */
export interface RobustnessTester {
  readonly classNames: readonly string[];
  /** What made it, for the details of the result. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** For people: what its numbers must be read with. */
  readonly remarks: readonly string[];
  /** @param source - with labels of its own */
  predict(source: ImageSource): Promise<TestPredictions>;
  destroy(): void;
}

/** Images with the classes of a classifier. */
interface KnownImages {
  readonly images: ImageSource;
  /** Places in the source that was given. */
  readonly indices: Uint32Array;
  /** Classes that may be chosen. */
  readonly among: readonly number[];
  /** That some images are left out, in words. */
  readonly notice: string | undefined;
}

/** Tells a notice once, however many folders of images it is about. */
class ToldOnce {
  readonly #told = new Set<string>();

  constructor(readonly output: ProtocolRun["output"]) {}

  tell({ notice }: KnownImages): void {
    if (notice === undefined || this.#told.has(notice)) return;
    this.#told.add(notice);
    this.output.notice(notice);
  }
}

/**
 * Test images with labels counted among `classNames`: by the list of a published set, whose images are of its classes in their order,
 * or by the text of the class. Images of other classes are left out.
 *
 * @throws UsageError if no class is known, or the images are not those of the list
 */
function knownImages(
  source: ImageSource,
  classNames: readonly string[],
  options: Pick<TesterOptions, "testedClasses" | "classList">,
): KnownImages {
  const own = Int32Array.from({ length: source.length }, (_, i) => source.label(i) ?? -1);
  const { classList, testedClasses } = options;
  const list = classList === undefined ? undefined : listedPlaces(classList, source, own, classNames);
  const byName = new Map(classNames.map((name, place) => [name, place]));
  const placeOf = (label: number): number =>
    label < 0 ? -1 : ((list ? list[label] : byName.get(className(source, label))) ?? -1);
  const places = own.map(placeOf);
  const indices = Uint32Array.from(own.keys()).filter((i) => (places[i] ?? -1) >= 0);
  if (indices.length === 0)
    throw new UsageError(
      `evaluate robustness: no test image is of a class of the classifier, such as ${classNames.slice(0, 3).join(", ")}; name classes alike in both`,
    );
  const leftOut = source.length - indices.length;
  const tested = new Set(places);
  const all = [...classNames.keys()];
  return {
    images: {
      ...source,
      length: indices.length,
      classNames,
      label: (index) => places[indices[index] ?? 0] ?? -1,
      name: (index) => source.name(indices[index] ?? 0),
      load: (index, loading) => source.load(indices[index] ?? 0, loading),
    },
    indices,
    notice:
      leftOut > 0
        ? `${leftOut} of ${source.length} test images are of no class of the classifier and are left out`
        : undefined,
    among: list ?? (testedClasses ? all.filter((place) => tested.has(place)) : all),
  };
}

/** @throws UsageError */
function listedPlaces(
  name: keyof typeof classLists,
  source: ImageSource,
  labels: Int32Array,
  classNames: readonly string[],
): readonly number[] {
  const list = classLists[name];
  const count = source.classNames?.length ?? labels.reduce((most, label) => Math.max(most, label), -1) + 1;
  if (count !== list.length || Math.max(...list) >= classNames.length)
    throw new UsageError(
      `evaluate robustness: --class-list ${name} is for ${list.length} classes of ImageNet's 1000, but the images have ${count} and the classifier ${classNames.length}; drop it, or use --tested-classes`,
    );
  const wrong = list.findIndex((place, label) => {
    const text = className(source, label);
    return classNames.includes(text) && classNames[place] !== text;
  });
  if (wrong >= 0)
    throw new UsageError(
      `evaluate robustness: class ${className(source, wrong)} of the images is not where --class-list ${name} has it among the classifier's classes; drop it: names tell the classes`,
    );
  return list;
}

/** A fine-tuned classifier. */
export class ClassifierTester implements RobustnessTester {
  readonly remarks: readonly string[] = [];
  readonly #told: ToldOnce;

  constructor(
    readonly run: Pick<ProtocolRun, "output" | "signal">,
    readonly model: Classifier,
    readonly options: Pick<TesterOptions, "testedClasses" | "classList" | "maxBad">,
  ) {
    this.#told = new ToldOnce(run.output);
  }

  get classNames(): readonly string[] {
    return this.model.description.classNames;
  }

  get facts(): Readonly<Record<string, unknown>> {
    const { pooling, pixels, classNames } = this.model.description;
    return { kind: "fine-tuned", classes: classNames.length, pooling, pixels };
  }

  async predict(source: ImageSource): Promise<TestPredictions> {
    const { output, signal } = this.run;
    const known = knownImages(source, this.classNames, this.options);
    const { images, indices, among } = known;
    this.#told.tell(known);
    const progress = new Progress(output, images.length, "images");
    const found = await classifierPredictions(this.model, images, {
      among,
      signal,
      maxBad: this.options.maxBad,
      onBroken: (error) => output.warning(error.message),
      onProgress: (done) => progress.update(done),
    }).finally(() => progress.end());
    const { classNames } = this;
    return { ...found, indices: found.indices.map((row) => indices[row] ?? 0), classNames };
  }

  destroy(): void {
    this.model.destroy();
  }
}

/** A linear classifier on the features of an encoder. */
export class LinearTester implements RobustnessTester {
  readonly #told: ToldOnce;

  private constructor(
    readonly run: ProtocolRun,
    readonly options: TesterOptions,
    readonly block: FeatureBlock,
    readonly classNames: readonly string[],
    readonly classifier: LogisticRegression,
  ) {
    this.#told = new ToldOnce(run.output);
  }

  /** Fits it to the training images; these and the test images are encoded together. */
  static async fit(
    run: ProtocolRun,
    options: TesterOptions,
    block: FeatureBlock,
  ): Promise<{ readonly tester: LinearTester; readonly test: TestPredictions }> {
    const labelled = labelledImages("robustness", run.train, run.test);
    for (const text of labelled.notices) run.output.notice(text);
    const { classNames } = labelled;
    const known = knownImages(run.test, classNames, options);
    const sources = [labelled.train, known.images];
    const [train, clean] = await encodedFeatures(run, sources, featureChoice(run, block, options), options);
    const [features] = train?.features ?? [];
    if (!train || !clean || !features) throw new RangeError("evaluate robustness: a set of images was not encoded");
    const classifier = await fitLogisticRegression(run.device, centredUnitRows(features), train.labels, {
      l2: options.penalty / features.rows,
      bias: "none",
      classes: classNames.length,
      signal: run.signal,
    });
    const tester = new LinearTester(run, options, block, classNames, classifier);
    return { tester, test: await tester.#predictions(clean, known) };
  }

  get facts(): Readonly<Record<string, unknown>> {
    const { objective, gap, converged } = this.classifier;
    return { objective, gap, converged };
  }

  get remarks(): readonly string[] {
    return this.classifier.converged
      ? []
      : ["the linear classifier did not reach its minimum (details: gap); its numbers may move"];
  }

  async predict(source: ImageSource): Promise<TestPredictions> {
    const { run, options, block, classNames } = this;
    const known = knownImages(source, classNames, options);
    this.#told.tell(known);
    const [encoded] = await encodedFeatures(run, [known.images], featureChoice(run, block, options), options);
    if (!encoded) throw new RangeError("evaluate robustness: a set of images was not encoded");
    return this.#predictions(encoded, known);
  }

  async #predictions(
    { features: [features], labels, indices }: BlockFeatures,
    { among, indices: known }: KnownImages,
  ): Promise<TestPredictions> {
    if (!features) throw new RangeError("evaluate robustness: no block was encoded");
    const { classifier, classNames } = this;
    const { columns, data } = classifier.weight;
    const weight = new Float64Array(among.length * columns);
    for (const [place, label] of among.entries())
      weight.set(data.subarray(label * columns, (label + 1) * columns), place * columns);
    const chosen = { weight: { rows: among.length, columns, data: weight }, bias: new Float64Array(among.length) };
    const places = await linearPredictions(this.run.device, chosen, centredUnitRows(features));
    const predicted = places.map((place) => among[place] ?? -1);
    return { indices: indices.map((row) => known[row] ?? 0), labels, predicted, classNames };
  }

  destroy(): void {
    // It holds nothing on the device.
  }
}
