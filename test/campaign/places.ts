import { join } from "node:path";
import process from "node:process";

/** The checkout, from which `run.mjs` starts everything. */
export const root = process.cwd();
export const fixtures = join(root, "test/fixtures");
/** The built command. */
export const cli = join(root, "dist/cli/main.js");
/** This program itself, for processes of its own. */
export const self = process.argv[1] ?? "";
