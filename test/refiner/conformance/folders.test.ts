import { describe, expect, it } from "vitest";
import {
  type FileDType,
  hostTensor,
  memorySink,
  memorySource,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { checkFixtures, type FixtureFolder } from "../../../refiner/conformance/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();

type Stored = readonly [dtype: FileDType, shape: readonly number[], values: ArrayLike<number>];

async function tensorFile(tensors: Readonly<Record<string, Stored>>): Promise<Uint8Array> {
  const sink = memorySink();
  const items = Object.entries(tensors).map(([name, [dtype, shape, values]]) => {
    const data =
      dtype === "i64"
        ? BigInt64Array.from(Array.from(values), BigInt)
        : dtype === "u8"
          ? Uint8Array.from(values)
          : Float32Array.from(values);
    return [name, TensorItem.of(hostTensor(dtype, shape, data))] as const;
  });
  await writeSafetensors(sink, new Map(items));
  return sink.bytes();
}

function folderOf(files: Readonly<Record<string, string | Uint8Array>>): FixtureFolder {
  const bytes = (name: string): Uint8Array => {
    const content = files[name] ?? "";
    return typeof content === "string" ? new TextEncoder().encode(content) : content;
  };
  return {
    files: async () => Object.keys(files),
    open: async (name) => memorySource(bytes(name), name),
    text: async (name) => new TextDecoder().decode(bytes(name)),
    folder: () => folderOf({}),
  };
}

/** A schedule of one update, all of it warm-up of two. */
const schedule = JSON.stringify({
  case: "schedule",
  learning_rate: [
    {
      base_lr: 0.5,
      batch_size: 256,
      epochs: 2,
      updates_per_epoch: 1,
      warmup_epochs: 1,
      peak_lr: 0.5,
      end_lr: 0,
      learning_rates: [0.25, 0.5],
    },
  ],
});

describe("a folder of fixtures", () => {
  it("runs a case by what its JSON file calls it", { timeout: 60_000 }, async () => {
    const { rows, unsupported } = await checkFixtures(device, folderOf({ "schedule-2.json": schedule }));
    expect(unsupported).toEqual([]);
    expect(rows.map(({ case: name, tensor, pass }) => [name, tensor, pass])).toEqual([
      ["schedule-2", "learning_rate.0.peak_lr", true],
      ["schedule-2", "learning_rate.0.learning_rates", true],
    ]);
  });

  it("fails a case that cannot be read, says why, and runs the others", { timeout: 60_000 }, async () => {
    const { rows, stopped } = await checkFixtures(device, folderOf({ "mae.json": "{", "schedule.json": schedule }));
    expect(stopped).toEqual([{ case: "mae", message: expect.stringContaining("JSON") }]);
    expect(rows.filter(({ pass }) => !pass)).toMatchObject([{ case: "mae", tensor: "" }]);
    expect(rows.filter(({ pass }) => pass)).toHaveLength(2);
  });
});

describe("the augment case", () => {
  const [height, width] = [200, 210]; // 126 000 bytes: too many for the arguments of one call
  const image = Uint8Array.from({ length: 3 * height * width }, (_, i) => (i * 7919) % 251);

  async function rowsOf(sequence: readonly string[], view: Uint8Array) {
    const json = { operations: { view: { sequence }, color_jitter: { orders: [], factors: {} } } };
    const bytes = await tensorFile({
      image: ["u8", [height, width, 3], image],
      "view.uint8": ["u8", [height, width, 3], view],
    });
    const folder = folderOf({ "augment.json": JSON.stringify(json), "augment.safetensors": bytes });
    return (await checkFixtures(device, folder)).rows;
  }
  const solarised = (value: number, from: number): number => (value < from ? value : 255 - value);

  it("follows a chain in an order that one rendering does not have", { timeout: 60_000 }, async () => {
    // Grey levels of the inverted image: not those that a rendering, which solarises last, would give.
    const view = new Uint8Array(image.length);
    for (let pixel = 0; pixel < view.length; pixel += 3) {
      const [red = 0, green = 0, blue = 0] = image.subarray(pixel, pixel + 3);
      const grey = 19595 * solarised(red, 100) + 38470 * solarised(green, 100) + 7471 * solarised(blue, 100);
      view.fill((grey + 32768) >> 16, pixel, pixel + 3);
    }
    const rows = await rowsOf(["solarize 100", "grayscale", "normalise"], view);
    expect(rows).toMatchObject([
      { tensor: "image", pass: true },
      { tensor: "view.uint8", maxError: 0 },
    ]);
  });

  it("fails where the chain is another one", { timeout: 60_000 }, async () => {
    const rows = await rowsOf(
      ["solarize 101"],
      image.map((value) => solarised(value, 100)),
    );
    expect(rows.find(({ tensor }) => tensor === "view.uint8")?.pass).toBe(false);
  });
});

describe("what was not compared", () => {
  const text = JSON.stringify({ case: "knn", num_classes: 2, results: [], conventions: {} });

  async function namesOf(extra: Readonly<Record<string, Stored>>): Promise<string[]> {
    const bytes = await tensorFile({
      train_x: ["f32", [2, 2], [1, 0, 0, 1]],
      train_y: ["i64", [2], [0, 1]],
      test_x: ["f32", [1, 2], [1, 0]],
      test_y: ["i64", [1], [0]],
      ...extra,
    });
    const { cases } = await checkFixtures(device, folderOf({ "knn.json": text, "knn.safetensors": bytes }));
    return cases.flatMap(({ notCompared }) => notCompared.map(({ file, name }) => `${file}: ${name}`));
  }

  it("leaves out inputs that were read", { timeout: 60_000 }, async () => {
    expect(await namesOf({})).toEqual([]);
  });

  it("names a tensor that no check reads", { timeout: 60_000 }, async () => {
    const extra: Stored = ["f32", [1], [0]];
    expect(await namesOf({ "predicted/unheard-of": extra })).toEqual(["knn.safetensors: predicted/unheard-of"]);
  });

  it("names an input that no check reads", { timeout: 60_000 }, async () => {
    const name = "interpolate/9x9_to_2x2/input"; // no result follows from it
    const bytes = await tensorFile({ [name]: ["f32", [1, 9, 9, 4], new Float32Array(324)] });
    const { cases } = await checkFixtures(device, folderOf({ "pos-embed.safetensors": bytes }));
    expect(cases[0]?.notCompared).toEqual([{ file: "pos-embed.safetensors", name }]);
  });

  it("stops a case that asks for a rule which the code does not have", { timeout: 60_000 }, async () => {
    const json = JSON.stringify({ ...JSON.parse(text), conventions: { std: "biased" } });
    const bytes = await tensorFile({
      train_x: ["f32", [1, 1], [1]],
      train_y: ["i64", [1], [0]],
      test_x: ["f32", [1, 1], [1]],
      test_y: ["i64", [1], [0]],
    });
    const { stopped } = await checkFixtures(device, folderOf({ "knn.json": json, "knn.safetensors": bytes }));
    expect(stopped).toEqual([
      {
        case: "knn",
        message: 'fixture: conventions.std is "biased", expected "unbiased", the only value that is supported here',
      },
    ]);
  });
});
