/**
 * The message of an error without paths, which name users and hosts: a report is sent to others.
 */
export function namelessMessage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/file:\/\/\S+/g, "(path)")
    .replace(/(^|[\s"'`(=:])(?:[A-Za-z]:[\\/]|[\\/]{1,2}|~[\\/]|\.{1,2}[\\/])[^\s"'`):]+/g, "$1(path)")
    .slice(0, 2000);
}
