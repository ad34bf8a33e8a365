import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fileSource } from "../../../engine/platform/files_node.ts";

test("a pipe and a device are refused at once", async () => {
  const pipe = join(mkdtempSync(join(tmpdir(), "special-")), "weights.pth");
  execFileSync("mkfifo", [pipe]);
  await expect(fileSource(pipe)).rejects.toThrow("it is a pipe, a socket or a device; give a file");
  await expect(fileSource("/dev/zero")).rejects.toThrow("a device");
}, 5000);
