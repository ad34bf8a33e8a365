import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Output } from "../../../cli/output/streams.ts";
import type { Fingerprint } from "../../../cli/runs/fingerprint.ts";
import {
  checkSameData,
  readStoredRun,
  resumedInputs,
  type StoredRun,
  writeStoredRun,
} from "../../../cli/runs/stored_run.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { testDevice } from "../../device.ts";
import { temporaryFolder } from "../run_command.ts";

const at = await temporaryFolder();
const device = await testDevice();
const digests = { images: { names: "a", sizes: "b" }, weights: { header: "c" }, others: { "the masks": "d" } };

async function storedRun(name: string): Promise<RunFolder> {
  const store = new RunFolder(at(name));
  await writeStoredRun(store, "finetune", device, {
    ...{ images: "/train", imageCount: 9, fingerprint: digests, attentionHeads: 3 },
    settings: { learningRate: 0.001, area: [0.08, 1], epochs: 20 },
  });
  return store;
}

describe("config.json", () => {
  it("is refused with another digit, key or value than was written, unless overriding", async () => {
    const store = await storedRun("edited");
    const path = join(store.name, "config.json");
    const whole = await readFile(path, "utf8");
    expect((await readStoredRun(store, "finetune")).settings).toMatchObject({ learningRate: 0.001 });
    for (const [old, changed] of [
      ["0.001", "0.003"],
      ['"epochs": 20', '"epochs": 24'],
      ['"attentionHeads": 3', '"attentionHeads": 1'],
      ['"fingerprint"', '"fingerpri.t"'],
      ['"names": "a"', '"names": "e"'],
    ] as const) {
      expect(whole).toContain(old);
      await writeFile(path, whole.replace(old, changed));
      await expect(readStoredRun(store, "finetune")).rejects.toThrow(
        /config\.json is not as the run wrote it .*damaged, or was edited.*--override/,
      );
      const { lines, output } = listening();
      const taken = await readStoredRun(store, "finetune", { isOverride: true, output });
      expect(taken).toMatchObject({ images: "/train" });
      expect(lines).toEqual([`warning: ${path} is not as the run wrote it; going on, since --override was given\n`]);
    }
    await writeFile(path, JSON.stringify(JSON.parse(whole))); // laid out in another way
    const { lines, output } = listening();
    expect((await readStoredRun(store, "finetune", { isOverride: true, output })).imageCount).toBe(9);
    expect(lines).toEqual([]);
    expect((await readStoredRun(store, "finetune")).imageCount).toBe(9);
  });

  it("is told not to be verified without a checksum, as older versions wrote it", async () => {
    const { checksum: _, ...older } = await readStoredRun(await storedRun("older"), "finetune");
    expect(toldOf(older, digests)).toMatch(/config\.json holds no checksum, as older versions wrote it/);
  });
});

/** An output, and the lines that it has printed beside the result. */
function listening(): { readonly lines: readonly string[]; readonly output: Output } {
  const lines: string[] = [];
  const streams = { out: () => undefined, err: (text: string) => void lines.push(text), isTerminal: false };
  return { lines, output: new Output(streams, { json: false, quiet: false }) };
}

/** What is printed while data are compared. */
function toldOf(stored: StoredRun, found: Fingerprint, isOverride = false): string {
  const { lines, output } = listening();
  checkSameData(stored, stored.imageCount ?? 0, found, { isOverride, output });
  return lines.join("");
}

describe("a run that goes on", () => {
  const stored = (given: Partial<StoredRun> = {}): StoredRun => ({
    ...{ images: "/train", imageCount: 9, fingerprint: digests, tuning: [], settings: {}, checksum: "" },
    ...given,
  });

  it("names each option by which the encoder would be read in another way", () => {
    const began = stored({ attentionHeads: 3, place: "student/" });
    const given = { attentionHeads: 6, classPosition: "as-published", place: "student/", images: "/moved" } as const;
    expect(() => resumedInputs(began, given, false)).toThrow(
      /attentionHeads \(was 3, now 6\), classPosition \(was undefined, now "as-published"\); drop them/,
    );
    expect(resumedInputs(began, given, true)).toMatchObject(given);
    expect(resumedInputs(began, { images: "/moved" }, false)).toMatchObject({ attentionHeads: 3, images: "/moved" });
  });

  it("refuses other masks or lists by name, and test images where it began without", () => {
    const other = { ...digests, others: { "the masks": "e", "list 1 of --subset (a.txt)": "f" } };
    expect(() => toldOf(stored(), other)).toThrow(
      /the masks and list 1 of --subset \(a\.txt\) differ from those of the run/,
    );
    const tested = { ...digests, test: { names: "t" } };
    expect(() => toldOf(stored(), tested)).toThrow(/the test images \(given now, not when the run began\) differ/);
    expect(toldOf(stored({ test: "/test" }), tested)).toBe(""); // a demo, which keeps the path alone
    expect(toldOf(stored(), tested, true)).toMatch(/warning: .*going on, since --override was given/);
  });
});
