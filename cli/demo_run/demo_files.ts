import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCheckpoint } from "../../engine/files/index.ts";
import { type Device, EngineError } from "../../engine/index.ts";
import { fileSource } from "../../engine/platform/files_node.ts";
import { loadEncoder, type VisionTransformer } from "../../models/index.ts";

/** Files that come with the package, described in its `cli/demo/README.md`. */
export interface DemoFiles {
  /** Small encoder with MAE decoder, pre-trained on the training digits. */
  readonly weights: string;
  /** 8,000 labelled digits. */
  readonly train: string;
  /** 2,000 labelled digits that neither pre-training nor refinement sees. */
  readonly test: string;
}

/**
 * Finds the files from wherever this module stands: the sources, a bundle in `dist/`, or an installed package.
 *
 * @throws EngineError if the package is incomplete
 */
export async function demoFiles(): Promise<DemoFiles> {
  const start = dirname(fileURLToPath(import.meta.url));
  for (let folder = start; ; folder = dirname(folder)) {
    const found = join(folder, "cli/demo");
    const files: DemoFiles = {
      weights: join(found, "mae.safetensors"),
      train: join(found, "digits/train-images-idx3-ubyte.gz"),
      test: join(found, "digits/test-images-idx3-ubyte.gz"),
    };
    if (await exists(files.weights)) return files;
    if (folder === dirname(folder))
      throw new EngineError(`demo: no cli/demo/mae.safetensors in or above ${start}; install the package again`);
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A fresh copy of the shipped encoder. */
export async function loadDemoEncoder(device: Device, { weights }: DemoFiles): Promise<VisionTransformer> {
  const checkpoint = await openCheckpoint(await fileSource(weights));
  try {
    return (await loadEncoder(device, checkpoint, {}, weights)).model;
  } finally {
    await checkpoint.close();
  }
}
