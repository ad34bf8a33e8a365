/** Takes the bytes of a file in order. */
export interface ByteSink {
  /** Takes `chunk`; the caller may reuse its memory once the promise resolves. */
  write(chunk: Uint8Array): Promise<void>;
}

/** A sink that collects everything in memory, for small files and for browsers. */
export function memorySink(): ByteSink & { bytes(): Uint8Array<ArrayBuffer> } {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  return {
    async write(chunk) {
      chunks.push(chunk.slice());
      sizeBytes += chunk.byteLength;
    },
    bytes() {
      const all = new Uint8Array(sizeBytes);
      let offset = 0;
      for (const chunk of chunks) {
        all.set(chunk, offset);
        offset += chunk.byteLength;
      }
      return all;
    },
  };
}
