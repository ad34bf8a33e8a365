import { beforeAll, describe, expect, it } from "vitest";
import { vitConfig } from "../../../models/index.ts";
import { imagesInMemory, type RgbImage } from "../../../refiner/data/index.ts";
import { attentionMaps, encodeFeatures } from "../../../refiner/evaluation/index.ts";
import { nearestGalleries, patchMaps, reportDataSchema } from "../../../refiner/report/index.ts";
import { reportPictures } from "../../../refiner/report/report_node.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../../models/random_encoder.ts";

const device = await testDevice();
const config = vitConfig({
  patchPixels: 4,
  width: 16,
  blocks: 2,
  heads: 2,
  channels: 1,
  heightPixels: 12,
  widthPixels: 12,
});
const models = { before: randomEncoder(device, config, 1), after: randomEncoder(device, config, 2) };

function image(index: number): RgbImage {
  const data = Uint8Array.from({ length: 144 }, (_, at) => (index % 2 ? 190 : 10) + ((at * (index + 3)) % 50));
  return { width: 12, height: 12, channels: 1, data };
}

const source = imagesInMemory(
  Array.from({ length: 12 }, (_, i) => image(i)),
  { labels: Array.from({ length: 12 }, (_, i) => i % 2), classNames: ["dark", "bright"] },
);

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

describe("pictures of a report", () => {
  let pictures: Awaited<ReturnType<typeof reportPictures>>;
  let galleries: Awaited<ReturnType<typeof nearestGalleries>>;

  beforeAll(async () => {
    const [old, refined] = [
      await encodeFeatures(device, models.before, source),
      await encodeFeatures(device, models.after, source),
    ];
    const sources = { bank: source, queries: source };
    const options = { queries: 3, neighbours: 4 };
    galleries = await nearestGalleries(
      device,
      sources,
      { bank: old, queries: old },
      { bank: refined, queries: refined },
      options,
    );
    pictures = await reportPictures(galleries, await patchMaps(device, models, source, [0, 1]));
  });

  it("list the query itself first where it is in the bank, and mark its class", () => {
    expect(galleries).toHaveLength(3);
    for (const { query, before, after } of galleries) {
      for (const strip of [before, after]) {
        expect(strip).toHaveLength(4);
        expect(strip[0]?.image.data).toEqual(query.image.data);
        for (const { label, sameClass } of strip) expect(sameClass).toBe(label === query.label);
      }
    }
  });

  it("have one pixel per patch in maps", async () => {
    const [map] = await patchMaps(device, models, source, [3]);
    expect([map?.before.width, map?.before.height, map?.before.data.length]).toEqual([3, 3, 27]);
    expect(map?.after.data).not.toEqual(map?.before.data);
  });

  it("show where the class token of the first four looks, white at its largest weight", async () => {
    const maps = await patchMaps(device, models, source, [0, 1, 2, 3, 4]);
    expect(maps.map(({ attention }) => attention !== undefined)).toEqual([true, true, true, true, false]);
    for (const [state, model] of Object.entries(models)) {
      const [own] = [...(await collected(attentionMaps(model, source)))];
      const shown = state === "before" ? maps[0]?.attention?.before : maps[0]?.attention?.after;
      const most = Math.max(...(own?.mean ?? []));
      expect([shown?.width, shown?.height, shown?.channels]).toEqual([3, 3, 1]);
      expect([...(shown?.data ?? [])]).toEqual(
        [...(own?.mean ?? [])].map((weight) => Math.round((255 * weight) / most)),
      );
    }
  });

  it("have no attention where a model has no class token", async () => {
    const without = randomEncoder(device, { ...config, classTokens: 0 }, 3);
    const [map] = await patchMaps(device, { ...models, before: without }, source, [0]);
    expect([map?.before.width, map?.attention]).toEqual([3, undefined]);
  });

  it("fit the schema of report_data.json", () => {
    expect(reportDataSchema.parse(pictures).galleries[0]?.before[0]?.src).toMatch(/^data:image\/png;base64,/);
    expect(pictures.patchMaps).toHaveLength(2);
    const parsed = reportDataSchema.parse(pictures).patchMaps[1];
    expect(parsed?.attention?.after.src).toMatch(/^data:image\/png;base64,/);
  });
});
