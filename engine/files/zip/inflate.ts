import { type ByteSource, checkRange } from "../byte_source.ts";
import { CorruptFileError } from "../errors.ts";

// Compressed bytes handed to the decoder at once; each may expand a thousandfold, which bounds what is held.
const inputBytes = 32 * 2 ** 10;

async function* inflate(deflated: ByteSource): AsyncGenerator<Uint8Array> {
  const stream = new DecompressionStream("deflate-raw");
  const [writer, reader] = [stream.writable.getWriter(), stream.readable.getReader()];
  const feed = async (): Promise<void> => {
    for (let at = 0; at < deflated.sizeBytes; at += inputBytes) {
      const chunk = await deflated.read(at, Math.min(inputBytes, deflated.sizeBytes - at));
      await writer.write(Uint8Array.from(chunk)); // waits until the reader has taken what came before
    }
    await writer.close();
  };
  // A failure reaches the reader as well; it is reported there.
  feed().catch((error: unknown) => writer.abort(error).catch(() => undefined));
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } finally {
    await Promise.allSettled([reader.cancel(), writer.abort()]);
  }
}

/**
 * The content of a raw DEFLATE stream. Reading onwards continues the stream; reading back starts it again.
 *
 * @param sizeBytes - declared size of the content; less is an error, more is never read
 */
export function inflateSource(deflated: ByteSource, sizeBytes: number): ByteSource {
  const { name } = deflated;
  let parts = inflate(deflated);
  let rest: Uint8Array = new Uint8Array(0);
  let position = 0; // of the first byte of rest

  const restart = async (): Promise<void> => {
    await parts.return(undefined);
    parts = inflate(deflated);
    rest = new Uint8Array(0);
    position = 0;
  };
  const next = async (): Promise<Uint8Array> => {
    try {
      const part = await parts.next();
      if (!part.done) return part.value;
    } catch (cause) {
      throw new CorruptFileError(`${name}: the compressed data is damaged; fetch the file again`, { cause });
    }
    throw new CorruptFileError(`${name}: the compressed data ends before its ${sizeBytes} bytes; fetch the file again`);
  };
  return {
    name,
    sizeBytes,
    async read(offset, length) {
      checkRange(name, sizeBytes, offset, length);
      if (offset < position) await restart();
      const out = new Uint8Array(length);
      for (let filled = 0; filled < length; ) {
        if (rest.byteLength === 0) rest = await next();
        const skipped = Math.min(rest.byteLength, Math.max(0, offset - position));
        const taken = rest.subarray(skipped, skipped + length - filled);
        out.set(taken, filled);
        filled += taken.byteLength;
        position += skipped + taken.byteLength;
        rest = rest.subarray(skipped + taken.byteLength);
      }
      return out;
    },
    async close() {
      await parts.return(undefined);
    },
  };
}
