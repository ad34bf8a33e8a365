import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, expect, it } from "vitest";
import { thisProcess } from "../../../refiner/training/process_identity_node.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";

const base = await mkdtemp(join(tmpdir(), "mimrefine-lock-"));
afterAll(() => rm(base, { recursive: true, force: true }));
let count = 0;
const newFolder = (): string => join(base, `run-${count++}`);

/** A folder with the lock of somebody. */
async function lockedBy(holder: unknown): Promise<string> {
  const folder = newFolder();
  await mkdir(folder);
  await writeFile(join(folder, "run.lock"), typeof holder === "string" ? holder : JSON.stringify(holder));
  return folder;
}

it("gives a folder to one of many that ask at once, and names the holder to the others", async () => {
  const folder = newFolder();
  const asked = await Promise.allSettled(Array.from({ length: 8 }, () => new RunFolder(folder).hold()));
  expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const refused = asked.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
  for (const text of refused)
    expect(text).toMatch(new RegExp(`process ${process.pid} on ${hostname()} works in this run folder.*run\\.lock`));
});

it("takes the place of a process that was killed, once of many that ask", async () => {
  const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 1e6)"]);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const folder = await lockedBy({ host: hostname(), process: child.pid });
  await expect(new RunFolder(folder).hold()).rejects.toThrow(`process ${child.pid}`);
  child.kill("SIGKILL");
  await ended;
  const asked = await Promise.allSettled(Array.from({ length: 8 }, () => new RunFolder(folder).hold()));
  expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

it("knows a process that only has the number of the holder", async () => {
  const me = await thisProcess();
  const folder = await lockedBy({ ...me, started: "1 another boot" });
  const release = await new RunFolder(folder).hold();
  await release();
  expect(await readdir(folder)).toEqual([]);
});

it.each([
  ["of another host", { host: "elsewhere", process: 1 }, /process 1 on elsewhere .* remove .*run\.lock/],
  ["that cannot be read", "", /its lock cannot be read.*remove .*run\.lock/],
])("never takes the lock %s, and says what to remove", async (_, holder, message) => {
  await expect(new RunFolder(await lockedBy(holder)).hold()).rejects.toThrow(message);
});

it("is held until the last of its holders gives it free", async () => {
  const folder = newFolder();
  const store = new RunFolder(folder);
  const [first, second] = [await store.hold(), await store.hold()];
  await first();
  await first(); // counts once
  await expect(new RunFolder(folder).hold()).rejects.toThrow(/works in this run folder/);
  await second();
  await (await new RunFolder(folder).hold())();
});

it.each([
  ["deleted", async (folder: string) => rm(folder, { recursive: true })],
  ["deleted or moved", async (folder: string) => rename(folder, `${folder}-moved`)],
  [
    "replaced",
    async (folder: string) => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
      await new RunFolder(folder).hold();
    },
  ],
])("writes nothing into a folder that was %s meanwhile", async (how, change) => {
  const folder = newFolder();
  const store = new RunFolder(folder);
  const release = await store.hold();
  await store.appendLine("metrics.jsonl", "{}");
  await change(folder);
  await expect(store.appendLine("metrics.jsonl", "{}")).rejects.toThrow(how);
  await expect(store.writeText("config.json", "{}")).rejects.toThrow("the run ends here");
  await release();
  await expect(readFile(join(folder, "metrics.jsonl"))).rejects.toThrow("ENOENT");
});

it("writes nothing into a part of a folder that was deleted meanwhile, held or not", async () => {
  const folder = newFolder();
  const store = new RunFolder(folder);
  const release = await store.hold();
  const part = store.part("compared");
  await part.writeText("config.json", "{}");
  await rm(folder, { recursive: true });
  await expect(part.writeText("config.json", "{}")).rejects.toThrow("deleted or moved");
  await expect(part.hold()).rejects.toThrow("deleted or moved");
  await release();
  await expect(readdir(folder)).rejects.toThrow("ENOENT");
});

it.skipIf(process.platform !== "linux")("names the file that a line has no room in", async () => {
  const store = new RunFolder(newFolder());
  const release = await store.hold();
  const path = join(store.name, "metrics.jsonl");
  await symlink("/dev/full", path);
  await expect(store.appendLine("metrics.jsonl", "{}")).rejects.toMatchObject({ code: "ENOSPC", path });
  await release();
});
