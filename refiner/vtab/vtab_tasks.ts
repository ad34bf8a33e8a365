import { OptionError } from "../../engine/index.ts";
import type { ImageSource } from "../data/index.ts";

/** Kinds of tasks, in the order of the published tables. */
export const vtabGroups = ["natural", "specialized", "structured"] as const;
export type VtabGroup = (typeof vtabGroups)[number];

/** A task as VTAB-1k (arXiv 1910.04867) names it. */
export interface VtabTaskName {
  readonly name: string;
  readonly group: VtabGroup;
  /** Images of the published test list. */
  readonly testImages: number;
}

/** The 19 tasks in the order of the published tables, with the lengths of the test lists that vtab1k-pytorch asserts. */
export const vtabTasks: readonly VtabTaskName[] = [
  ...named("natural", {
    cifar: 10000,
    caltech101: 6085,
    dtd: 1880,
    oxford_flowers102: 6149,
    oxford_iiit_pet: 3669,
    svhn: 26032,
    sun397: 21750,
  }),
  ...named("specialized", { patch_camelyon: 32768, eurosat: 5400, resisc45: 6300, diabetic_retinopathy: 42670 }),
  ...named("structured", {
    clevr_count: 15000,
    clevr_dist: 15000,
    dmlab: 22735,
    kitti: 711,
    dsprites_loc: 73728,
    dsprites_ori: 73728,
    smallnorb_azi: 12150,
    smallnorb_ele: 12150,
  }),
];

function named(group: VtabGroup, tasks: Readonly<Record<string, number>>): VtabTaskName[] {
  return Object.entries(tasks).map(([name, testImages]) => ({ name, group, testImages }));
}

/** @throws OptionError for a name that is no task of VTAB-1k */
export function vtabTask(name: string): VtabTaskName {
  const found = vtabTasks.find((task) => task.name === name);
  if (found) return found;
  const known = vtabTasks.map((task) => task.name).join(", ");
  throw new OptionError(`vtab: there is no task ${name}; choose from ${known}`);
}

/** Lists of images that a task has, by the names of their files. */
export const vtabLists = ["train800", "val200", "train800val200", "test"] as const;
export type VtabList = (typeof vtabLists)[number];

/** A task and its images, with labels counted from 0. */
export interface VtabTask extends Readonly<Record<VtabList, ImageSource>> {
  /** One of {@link vtabTasks}. */
  readonly name: string;
}
