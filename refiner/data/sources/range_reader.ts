/** A file, or anything like it, read by ranges. */
export interface RangeReader {
  readonly name: string;
  readonly sizeBytes: number;
  /** Up to `lengthBytes` bytes from `offset`; fewer only at the end of the file. */
  read(offset: number, lengthBytes: number): Promise<Uint8Array>;
}
