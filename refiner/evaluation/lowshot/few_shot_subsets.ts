import { EvaluationError } from "../core/errors.ts";
import { MersenneTwister } from "./mersenne_twister.ts";

/** Which images a subset is drawn from. */
export interface FewShotCandidates {
  readonly length: number;
  /** Class of an image, from 0; undefined where there is none, and the image takes no part. */
  label(index: number): number | undefined;
  /** Files are put into the order of their names first; without it their own order counts. */
  name?(index: number): string;
}

export interface FewShotSubset {
  /** Images drawn, class by class in the order drawn. */
  readonly indices: Uint32Array;
  /** Classes with fewer images than wanted, which give all that they have. */
  readonly short: readonly { readonly label: number; readonly images: number }[];
}

/**
 * Places drawn per class: classes in ascending order share one generator, and each gives the first `shots` entries of a
 * random permutation of its sorted files; fewer where it has fewer. As the published n-shot subsets of iNaturalist 2018 were
 * drawn (MIM-Refiner's code; the seed is the number of the split: 1, 2, 3).
 *
 * @param classSizes - images of each class
 * @returns per class the places drawn, in the order drawn
 * @throws EvaluationError if `shots` is not a whole number of at least 1
 */
export function fewShotPlaces(classSizes: readonly number[], shots: number, seed: number): Uint32Array[] {
  checkShots(shots);
  return permutations(classSizes, seed).map((order) => order.subarray(0, Math.min(shots, order.length)));
}

/**
 * A subset of `shots` images per class; see {@link fewShotPlaces}.
 *
 * @param seed - number of the split
 * @throws EvaluationError if no image has a label
 */
export function fewShotSubset(images: FewShotCandidates, shots: number, seed: number): FewShotSubset {
  const classes = classesOf(images);
  const places = fewShotPlaces(
    classes.map(({ members }) => members.length),
    shots,
    seed,
  );
  const short = classes.flatMap(({ label, members }) =>
    members.length < shots ? [{ label, images: members.length }] : [],
  );
  return { indices: chosenOf(classes, places), short };
}

/** How many images of a class are for training: a number, or a share of them, rounded. */
export type HoldoutSize = { readonly perClass: number } | { readonly share: number };

/**
 * Splits places per class into training (drawn first) and test, each in ascending order; the whole class trains where it has no
 * more images than wanted. With seed 0 and 30 per class the split of Caltech-101, with a share of 0.8 that of SUN397, as in
 * MIM-Refiner's code.
 *
 * @returns per class the training places
 * @throws EvaluationError if the size is not within its range
 */
export function holdoutPlaces(classSizes: readonly number[], size: HoldoutSize, seed = 0): Uint32Array[] {
  const wanted = trainingSize(size);
  return permutations(classSizes, seed).map((order) => order.slice(0, wanted(order.length)).sort());
}

/** Splits images into training and test; see {@link holdoutPlaces}. @throws EvaluationError */
export function holdoutSplit(
  images: FewShotCandidates,
  size: HoldoutSize,
  seed = 0,
): { readonly train: Uint32Array; readonly test: Uint32Array } {
  const classes = classesOf(images);
  const places = holdoutPlaces(
    classes.map(({ members }) => members.length),
    size,
    seed,
  );
  const rest = classes.map(({ members }, place) => {
    const used = new Set(places[place]);
    return Uint32Array.from(members.keys()).filter((place) => !used.has(place));
  });
  return { train: chosenOf(classes, places), test: chosenOf(classes, rest) };
}

function trainingSize(size: HoldoutSize): (images: number) => number {
  if ("perClass" in size) {
    checkShots(size.perClass);
    return (images) => Math.min(size.perClass, images);
  }
  const { share } = size;
  if (!(share > 0 && share < 1))
    throw new EvaluationError(`holdout: a share of ${share} for training; give one between 0 and 1, such as 0.8`);
  return (images) => Math.round(share * images);
}

function permutations(classSizes: readonly number[], seed: number): Uint32Array[] {
  const random = new MersenneTwister(seed);
  return classSizes.map((images) => random.permutation(images));
}

interface ClassMembers {
  readonly label: number;
  readonly members: readonly number[];
}

/** Images of each class that occurs by ascending label, sorted by name where names are given. A class without images would draw nothing. */
function classesOf(images: FewShotCandidates): ClassMembers[] {
  const classes = new Map<number, number[]>();
  for (let index = 0; index < images.length; index++) {
    const label = images.label(index);
    if (label === undefined || label < 0) continue;
    const members = classes.get(label);
    if (members) members.push(index);
    else classes.set(label, [index]);
  }
  if (classes.size === 0)
    throw new EvaluationError(
      "few-shot subsets: no image has a label; use a folder with one subfolder per class, or a list with labels",
    );
  const ascending = [...classes].sort(([a], [b]) => a - b);
  return ascending.map(([label, members]) => ({ label, members: inOrderOfNames(members, images) }));
}

// By UTF-16 units, as the names of files are sorted in Python; never by the rules of a language.
function inOrderOfNames(members: readonly number[], images: FewShotCandidates): number[] {
  const named = members.map((index) => ({ index, name: images.name?.(index) ?? "" }));
  return named
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.index - b.index))
    .map(({ index }) => index);
}

function chosenOf(classes: readonly ClassMembers[], places: readonly Uint32Array[]): Uint32Array {
  return Uint32Array.from(
    classes.flatMap(({ members }, at) => Array.from(places[at] ?? [], (place) => members[place] ?? 0)),
  );
}

function checkShots(shots: number): void {
  if (!Number.isInteger(shots) || shots < 1)
    throw new EvaluationError(`few-shot subsets: ${shots} images per class; give a whole number of at least 1`);
}
