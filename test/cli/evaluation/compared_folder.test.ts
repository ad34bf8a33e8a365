import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { comparedFolder, nowhere } from "../../../cli/evaluation/evaluation_folder.ts";
import { Output } from "../../../cli/output/streams.ts";
import { readStoredRun } from "../../../cli/runs/stored_run.ts";
import { RunFolder } from "../../../refiner/training/run_folder_node.ts";
import { run } from "../run_command.ts";

const path = await mkdtemp(join(tmpdir(), "mimrefine-compared-"));
afterAll(() => rm(path, { recursive: true }));

it("an edited configuration of the second encoder is taken as it is with --override only", async () => {
  const folder = new RunFolder(path);
  const edited = JSON.stringify({ command: "evaluate", images: "x", settings: {}, checksum: "another" });
  for (const part of [folder, folder.part("compared")]) await part.writeText("config.json", edited);
  const lines: string[] = [];
  const streams = { out: () => undefined, err: (text: string) => void lines.push(text), isTerminal: false };
  const overriding = { isOverride: true, output: new Output(streams, { json: false, quiet: false }) };
  const where = { ...nowhere, folder, stored: await readStoredRun(folder, "evaluate", overriding) };
  await expect(comparedFolder(where, { ...overriding, isOverride: false })).rejects.toThrow(
    /compared.config\.json .* \(its checksum is another\)/,
  );
  expect((await comparedFolder(where, overriding)).stored).toMatchObject({ images: "x" });
  expect(lines).toEqual([
    expect.stringMatching(/^warning: .*config\.json is not as the run wrote it; going on, since --override was given/),
    expect.stringMatching(/^warning: .*compared.config\.json is not as the run wrote it; going on/),
  ]);
});

it("the run of another protocol is gone on with by its own command, or started over where that has no --resume", async () => {
  const begunBy = async (protocol: string): Promise<string> => {
    const folder = join(path, protocol);
    const settings = { protocol, options: {} };
    await new RunFolder(folder).writeText(
      "config.json",
      JSON.stringify({ command: "evaluate", images: "x", settings }),
    );
    return folder;
  };
  const [knn, vtab] = [await begunBy("knn"), await begunBy("vtab")];
  expect(await run("evaluate", "linear", "--resume", knn)).toMatchObject({
    code: 2,
    err: `error: ${knn}: the run was begun by evaluate knn, which does not go on with runs; start it over: mimrefine evaluate knn … --out ${knn} --force\n`,
  });
  expect(await run("evaluate", "linear", "--resume", vtab)).toMatchObject({
    code: 2,
    err: `error: ${vtab}: the run was begun by evaluate vtab; go on with: mimrefine evaluate vtab --resume ${vtab}\n`,
  });
});
