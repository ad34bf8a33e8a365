import { beforeAll, expect, it, vi } from "vitest";
import { writeFileAtomic } from "../../../engine/platform/files_node.ts";
import { saveEncoder, vitConfig } from "../../../models/index.ts";
import { FeatureExtractor } from "../../../refiner/evaluation/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";
import { pictureSide, writePictures } from "../class_pictures.ts";
import { run, temporaryFolder } from "../run_command.ts";

const at = await temporaryFolder();

beforeAll(async () => {
  const size = { channels: 1, heightPixels: pictureSide, widthPixels: pictureSide };
  const model = randomEncoder(
    await testDevice(),
    vitConfig({ patchPixels: 4, width: 24, blocks: 3, heads: 2, ...size }),
  );
  await writeFileAtomic(at("encoder.safetensors"), (sink) => saveEncoder(sink, model));
  await writePictures(at, "train", { count: 8, from: 0 });
  await writePictures(at, "test", { count: 6, from: 100 });
});

/** 24 training and 18 test images, of which few shots take 6 of the former. */
it.each([
  ["knn", ["-k", "3"], 24 + 18],
  ["lowshot", ["--shots", "2", "--splits", "1"], 6 + 18],
  ["cluster", ["--restarts", "1"], 18],
  ["linear", ["--cache", "--epochs", "1", "--batch", "8", "--rates", "0.1"], 24 + 18],
])("%s --sensitivity encodes every image once", { timeout: 180_000 }, async (name, options, images) => {
  let encoded = 0;
  const submit = vi.spyOn(FeatureExtractor.prototype, "submit");
  const sets = ["--images", at("train"), "--test", at("test"), "--workers", "0"];
  const given = ["--weights", at("encoder.safetensors"), ...sets, ...options];
  const { code, err } = await run("evaluate", name, ...given, "--sensitivity");
  for (const [batch] of submit.mock.calls) encoded += batch.length;
  submit.mockRestore();
  expect([code, code === 0 ? encoded : err]).toEqual([0, images]);
});
