/** Colours of at least 3 : 1 contrast with the light and the dark page, from early to late. */
const anchors = [
  [59, 111, 212],
  [14, 143, 143],
  [78, 140, 40],
  [176, 122, 0],
  [212, 84, 46],
  [184, 65, 143],
] as const;

/** `count` colours that follow an order, such as that of the blocks. */
export function orderedColours(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const place = count > 1 ? (i / (count - 1)) * (anchors.length - 1) : 0;
    const from = anchors[Math.floor(place)] ?? anchors[0];
    const to = anchors[Math.ceil(place)] ?? from;
    const mixed = from.map((value, c) => Math.round(value + ((to[c] ?? value) - value) * (place - Math.floor(place))));
    return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
  });
}

/** Colours of the states of a run in comparisons. */
export const stateColours = { before: "#7a828e", afterStage2: "#3b6fd4", after: "#d4542e" } as const;
