// Stands in for the files of the repository where there are none: a test that asks for one is skipped.
import { Skipped } from "./vitest.ts";

function skip(): Promise<never> {
  return Promise.reject(new Skipped("needs a file of the repository"));
}

export const openFixture = skip;
export const fixtureValues = skip;
export const readFile = skip;
export const readdir = skip;
