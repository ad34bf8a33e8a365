import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import sharp from "sharp";

export const pictureSide = 12;
/** In the order of their labels. */
export const pictureClasses: readonly string[] = ["left", "middle", "right"];

/** A grey picture that is bright in the third of its class, with some noise. */
function picture(label: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: pictureSide * pictureSide }, (_, i) => {
    const isOwn = Math.floor((i % pictureSide) / 4) === label;
    const noise = Math.imul(i + 1 + 144 * seed, 2654435761) >>> 24;
    return Math.round((isOwn ? 120 : 60) + noise / 2.5);
  });
}

/** Writes pictures of three classes, a folder each. @param at - path of a name @param from - number of the first picture */
export async function writePictures(
  at: (name: string) => string,
  folder: string,
  { count, from }: { readonly count: number; readonly from: number },
): Promise<void> {
  for (let i = from; i < from + count; i++) {
    for (const [label, name] of pictureClasses.entries()) {
      const path = at(`${folder}/${name}/${name}-${i}.png`);
      await mkdir(dirname(path), { recursive: true });
      const raw = { width: pictureSide, height: pictureSide, channels: 1 } as const;
      await sharp(picture(label, 3 * i + label), { raw })
        .png()
        .toFile(path);
    }
  }
}
