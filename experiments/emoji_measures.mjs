// How well features of one artist's glyphs find those of the other.
import { openCheckpoint, openDevice } from "mimrefine/engine";
import { loadEncoder } from "mimrefine/models";
import { fileSource, openImages } from "mimrefine/node";
import { encodeFeatures, featureStatistics, standardise, unitRows, voteOfNeighbours } from "mimrefine/refiner";
import { artists } from "./emoji_data.mjs";

/** Features of all concepts per artist and block: `{ google: [matrix of block 0, …], twitter: … }`. */
export async function encodedFeatures(weights, lists) {
  const device = await openDevice();
  const checkpoint = await openCheckpoint(await fileSource(weights));
  try {
    const { model } = await loadEncoder(device, checkpoint, {}, weights);
    const encode = async (artist) => {
      const images = await openImages(lists[artist], { channels: 3 });
      const { features } = await encodeFeatures(device, model, images, { pooling: "cls" });
      await images.close?.();
      return features;
    };
    return { google: await encode("google"), twitter: await encode("twitter") };
  } finally {
    await checkpoint.close();
    device.close();
  }
}

/** Pixels of all concepts, `pixels` wide, as features of a single block. */
export async function pixelFeatures(lists, pixels) {
  const rowsOf = async (artist) => {
    const images = await openImages(lists[artist], { channels: 3 });
    const rows = await Promise.all(
      Array.from({ length: images.length }, (_, i) => images.load(i, { resizeTo: pixels })),
    );
    await images.close?.();
    const columns = rows[0].data.length;
    const data = new Float32Array(rows.length * columns);
    for (const [i, row] of rows.entries()) data.set(Float32Array.from(row.data), i * columns);
    return [{ rows: rows.length, columns, data }];
  };
  return { google: await rowsOf("google"), twitter: await rowsOf("twitter") };
}

/**
 * Per block, in percent and averaged over both directions: `knn`, classes by the 20 nearest glyphs of the other artist without
 * the query's own twin; `knnHeldOut`, the same for held-out queries; `retrieval`, how often the nearest glyph of the other
 * artist is the twin; `retrievalHeldOut`, the same for held-out concepts.
 */
export function measures(features, concepts, k = 20) {
  return features.google.map((_, block) => {
    const directions = artists.map((bank, i) =>
      oneDirection(features[bank][block], features[artists[1 - i]][block], concepts, k),
    );
    const names = Object.keys(directions[0]);
    return Object.fromEntries(
      names.map((name) => [name, (100 * (directions[0][name] + directions[1][name])) / directions.length]),
    );
  });
}

function oneDirection(bank, queries, concepts, k) {
  const statistics = featureStatistics(bank);
  const [stored, asked] = [bank, queries].map((matrix) => unitRows(standardise(matrix, statistics)));
  const labels = concepts.map((concept) => concept.class);
  const classes = Math.max(...labels) + 1;
  const found = concepts.map((_, query) => {
    const ranked = similarities(stored, asked, query);
    const nearest = ranked.filter(({ index }) => index !== query && labels[index] >= 0).slice(0, k);
    const [predicted] = voteOfNeighbours(
      nearest.map(({ similarity }) => similarity),
      nearest.map(({ index }) => labels[index]),
      { k, classes },
    );
    return { isTwinFirst: ranked[0].index === query, isRight: predicted === labels[query] };
  });
  const share = (property, of) => {
    const chosen = found.filter((_, i) => of(concepts[i]));
    return chosen.filter((result) => result[property]).length / chosen.length;
  };
  return {
    knn: share("isRight", (concept) => concept.class >= 0),
    knnHeldOut: share("isRight", (concept) => concept.class >= 0 && concept.heldOut),
    retrieval: share("isTwinFirst", () => true),
    retrievalHeldOut: share("isTwinFirst", (concept) => concept.heldOut),
  };
}

/** All bank rows by falling cosine similarity to a query. */
function similarities(bank, queries, query) {
  const { columns } = bank;
  const from = query * columns;
  return Array.from({ length: bank.rows }, (_, index) => {
    let similarity = 0;
    for (let c = 0; c < columns; c++) similarity += queries.data[from + c] * bank.data[index * columns + c];
    return { index, similarity };
  }).sort((a, b) => b.similarity - a.similarity || a.index - b.index);
}
