import { escapeHtml } from "./html.ts";
import type { ReportData, ReportPicture } from "./report_data.ts";

/** Queries with their nearest images before and after; frames mark images of the query's class. */
export function gallerySection({ galleries, featureNote }: ReportData): string {
  if (galleries.length === 0) return `<p class="soft">The run has stored no neighbour galleries.</p>`;
  const hasLabels = galleries.some(({ after }) => after.some(({ sameClass }) => sameClass !== undefined));
  const frames = hasLabels ? " A green frame and a check mark: the same class as the query." : "";
  const rows = galleries
    .map(
      (
        { query, before, after },
        i,
      ) => `<div class="card gallery" role="group" aria-label="Query ${i + 1}: ${escapeHtml(query.label)}">
<div><p class="state">query</p>${picture(query)}</div>
<div><p class="state">nearest before</p>${strip(before, `Nearest before, query ${i + 1}`)}<p class="state">nearest after</p>${strip(after, `Nearest after, query ${i + 1}`)}</div></div>`,
    )
    .join("\n");
  return `<p class="soft">${escapeHtml((featureNote ? `By cosine similarity of the ${featureNote}.` : "By cosine similarity of the features.") + frames)}</p><div class="rows">${rows}</div>`;
}

/** The three leading principal components of patch features as red, green and blue. */
export function patchMapSection({ patchMaps }: ReportData): string {
  if (patchMaps.length === 0) return `<p class="soft">The run has stored no maps of patch features.</p>`;
  const rows = patchMaps
    .map(({ image, attention, ...features }) => {
      const looking = attention
        ? `<p class="state">attention</p>${beforeAndAfter(attention, `Attention in ${image.label}`)}`
        : "";
      return `<div class="card three">${picture(image)}${beforeAndAfter(features, `Patch features of ${image.label}`)}${looking}</div>`;
    })
    .join("\n");
  const attentionNote = patchMaps.some(({ attention }) => attention !== undefined)
    ? " Below them, of the first images: attention of the class token in the last block, the mean over the heads, white for the largest weight of a map."
    : "";
  return `<p class="soft">The three leading principal components of the patch features as red, green and blue: patches of like colour look alike to the encoder. Colours of before and after are independent of each other.${attentionNote}</p><div class="maps">${rows}</div>`;
}

function beforeAndAfter(
  { before, after }: { readonly before: ReportPicture; readonly after: ReportPicture },
  what: string,
): string {
  return `${picture({ ...before, label: "before" }, `${what} before`)}${picture({ ...after, label: "after" }, `${what} after`)}`;
}

/** Pictures in a row that scrolls sideways by itself. */
export function strip(pictures: readonly ReportPicture[], label: string): string {
  const items = pictures.map((one) => `<li>${picture(one)}</li>`).join("");
  return `<ol class="strip" tabindex="0" aria-label="${escapeHtml(label)}">${items}</ol>`;
}

/** A picture with its label below. @param alternative - for those who do not see it */
export function picture({ src, label, similarity, sameClass }: ReportPicture, alternative = label): string {
  const mark = sameClass ? " ✓" : "";
  const text = `${label}${mark}${similarity === undefined ? "" : `, ${similarity.toFixed(2)}`}`;
  return `<figure class="picture${sameClass ? " same" : ""}"><img src="${escapeHtml(src)}" alt="${escapeHtml(alternative)}"><figcaption>${escapeHtml(text)}</figcaption></figure>`;
}
