import { OptionError } from "../../engine/index.ts";

/** Channels that images are decoded to for an encoder. @throws OptionError for an encoder that images cannot serve */
export function imageChannels({ channels }: { readonly channels: number }, file: string): 1 | 3 {
  if (channels === 1 || channels === 3) return channels;
  throw new OptionError(`${file}: the encoder takes ${channels} channels, images have 1 or 3; give another encoder`);
}
