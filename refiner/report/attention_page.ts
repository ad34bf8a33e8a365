import { escapeHtml, formatPercent, table } from "./html.ts";
import { page } from "./page.ts";
import { strip } from "./picture_sections.ts";
import type { ReportPicture } from "./report_data.ts";

/** Maps of some images by one encoder. */
export interface AttentionReport {
  /** What made them, in words. */
  readonly facts: Readonly<Record<string, string>>;
  readonly images: readonly {
    readonly image: ReportPicture;
    /** Mean over the heads. */
    readonly mean?: ReportPicture;
    readonly heads: readonly ReportPicture[];
    /** Share of each head's attention that lies on patches, 0 … 1. */
    readonly onPatches: readonly number[];
    readonly principal?: ReportPicture;
  }[];
  /** Images whose maps were written and are not in the page. */
  readonly leftOut: number;
}

/** Attention and principal maps as one HTML file. */
export function attentionPage({ facts, images, leftOut }: AttentionReport): string {
  const heading = images.length === 1 ? "Where the encoder looks" : `Where the encoder looks: ${images.length} images`;
  const hasAttention = images.some(({ mean }) => mean !== undefined);
  const hasPrincipal = images.some(({ principal }) => principal !== undefined);
  const note = [
    ...(hasAttention
      ? [
          "Attention: soft-max weights of the class token on the patches, white for the largest weight of a map; heads cannot be compared by brightness.",
        ]
      : []),
    ...(hasPrincipal
      ? [
          "Components: the three leading principal components of the patch features of all images together as red, green and blue; no patch is taken for background.",
        ]
      : []),
    ...(leftOut > 0 ? [`The maps of ${leftOut} more images are in the folder only.`] : []),
  ];
  const rows = images
    .map(({ image, mean, heads, principal, onPatches }, i) => {
      const whole = [image, ...(mean ? [mean] : []), ...(principal ? [principal] : [])];
      const name = escapeHtml(image.label);
      const ofHeads =
        heads.length > 0
          ? `<p class="state">heads</p>${strip(heads, `Heads, ${image.label}`)}${shareText(onPatches)}`
          : "";
      return `<div class="card large" role="group" aria-label="Image ${i + 1}: ${name}">${strip(whole, image.label)}${ofHeads}</div>`;
    })
    .join("\n");
  return page({
    title: heading,
    heading,
    opening: `<p>${escapeHtml(note.join(" "))}</p>`,
    sections: [
      ["maps", "Maps", `<div class="rows">${rows}</div>`],
      [
        "made",
        "How they were made",
        table({ caption: "settings", columns: ["", "value"], rows: Object.entries(facts) }),
      ],
    ],
    footer: "Written by mimrefine attention.",
  });
}

function shareText(shares: readonly number[]): string {
  const text = shares.map((share, head) => `head ${head} ${formatPercent(share)}`).join(", ");
  return `<p class="soft">Attention on patches, the rest is on class tokens: ${escapeHtml(text)}.</p>`;
}
