import type { VitConfig } from "../vit_config.ts";

/** A value of the config that a file states, and where. */
export interface Claim {
  readonly key: keyof VitConfig;
  readonly value: number | string;
  /** Path of the entry, for messages. */
  readonly path: string;
}
