import { rmSync } from "node:fs";

/** Temporary files of this process that stand on the disk now. */
const present = new Set<string>();

/** Notes a temporary file before it is made, so that it can be removed when the process ends early. */
export function noteTemporary(path: string): void {
  present.add(path);
}

/** The file has taken another name, or is removed. */
export function forgetTemporary(path: string): void {
  present.delete(path);
}

/** Removes what is noted; for programs that end before the writing did. */
export function removeTemporaries(): void {
  for (const path of present) rmSync(path, { force: true });
  present.clear();
}
