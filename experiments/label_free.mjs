// Which block would be chosen without labels, by scores of `mimrefine/refiner`.
import { openCheckpoint, openDevice } from "mimrefine/engine";
import { loadEncoder } from "mimrefine/models";
import { fileSource, openImages } from "mimrefine/node";
import { encodeFeatures, lidar, neighbourAgreement, rankMe } from "mimrefine/refiner";

const imageCount = 400;
const viewCount = 4;
/** Share of the shorter side that a view keeps, at least. */
const smallestShare = 0.85;

/**
 * RankMe, LiDAR and neighbour agreement of every block, on random crops of the first images.
 *
 * @param images - path of the images
 * @returns `{ rankMe, lidar, neighbourAgreement }`, a number per block, first to last
 */
export async function labelFreeScores(weights, images) {
  const device = await openDevice();
  const checkpoint = await openCheckpoint(await fileSource(weights));
  try {
    const { model, config } = await loadEncoder(device, checkpoint, {}, weights);
    const source = await openImages(images, { channels: (config ?? model.config).channels });
    const views = [];
    for (let view = 0; view < viewCount; view++) {
      const { features } = await encodeFeatures(device, model, croppedView(source, view), {});
      views.push(features);
    }
    await source.close?.();
    return await scoresOf(device, views);
  } finally {
    await checkpoint.close();
    device.close();
  }
}

async function scoresOf(device, views) {
  const scores = { rankMe: [], lidar: [], neighbourAgreement: [] };
  for (const block of views[0].keys()) {
    const all = stacked(views.map((features) => features[block]));
    const { rows } = views[0][block];
    scores.rankMe.push(rankMe(views[0][block]));
    scores.lidar.push(
      lidar(
        all,
        Array.from({ length: all.rows }, (_, row) => row % rows),
      ),
    );
    scores.neighbourAgreement.push(await neighbourAgreement(device, views[0][block], views[1][block]));
  }
  return scores;
}

function stacked(matrices) {
  const [{ columns }] = matrices;
  const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
  const data = new Float32Array(rows * columns);
  let at = 0;
  for (const matrix of matrices) {
    data.set(matrix.data, at);
    at += matrix.data.length;
  }
  return { rows, columns, data };
}

/** The first images of a source as random squares; the same for every encoder. */
function croppedView(source, view) {
  return {
    length: Math.min(imageCount, source.length),
    channels: source.channels,
    label: () => undefined,
    name: (index) => source.name(index),
    async load(index, options) {
      const image = await source.load(index, options);
      const random = numbersFrom(index * viewCount + view);
      const side = Math.round(Math.min(image.width, image.height) * (smallestShare + (1 - smallestShare) * random()));
      const x = Math.floor(random() * (image.width - side + 1));
      const y = Math.floor(random() * (image.height - side + 1));
      return square(image, x, y, side);
    },
  };
}

/** A square of an image. */
export function square({ width, channels, data }, x, y, side) {
  const cut = new Uint8Array(side * side * channels);
  for (let row = 0; row < side; row++) {
    const from = ((y + row) * width + x) * channels;
    cut.set(data.subarray(from, from + side * channels), row * side * channels);
  }
  return { width: side, height: side, channels, data: cut };
}

/** Numbers of 0 … 1 (mulberry32). */
export function numbersFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
