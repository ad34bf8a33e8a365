import { platform } from "#platform";
import type { WriteFileOptions } from "../platform/platform.ts";
import type { ByteSink } from "./byte_sink.ts";
import type { ByteSource } from "./byte_source.ts";

/**
 * Opens a file by its path for reading by ranges, such as for `openCheckpoint` (Node and Deno).
 *
 * @throws OptionError in browsers: use `blobSource`; otherwise what the system says
 */
export function openFile(path: string): Promise<ByteSource> {
  return platform.openFile(path);
}

/**
 * Writes a file as a whole or not at all (Node and Deno): whatever failed, the file that had the name before is untouched.
 *
 * @param produce - writes the content to the sink that it is given
 * @throws FileExistsError if the file exists and overwriting is not allowed; WriteTargetError for a folder or a device, and where
 *   there is no such folder; OptionError in browsers: use `memorySink`
 */
export function writeFile(
  path: string,
  produce: (sink: ByteSink) => Promise<void>,
  options: WriteFileOptions = {},
): Promise<void> {
  return platform.writeFile(path, produce, options);
}
