import type { FileHandle } from "node:fs/promises";
import { promisify } from "node:util";
import { inflateRaw } from "node:zlib";
import { crc32 } from "../../../engine/files/zip/crc32.ts";
import type { ZippedImage } from "../image_source.ts";

const inflated = promisify(inflateRaw);
// Layout: PKWARE APPNOTE 6.3.10, section 4.3.7.
const localBytes = 30;
const localSignature = 0x04034b50;
/** Of an image; what claims more is no image. */
const mostBytes = 2 ** 30;

/** The bytes of an image in an archive. @throws Error where the archive is damaged */
export async function zippedBytes(handle: FileHandle, zipped: ZippedImage): Promise<Uint8Array> {
  const { method, storedBytes, sizeBytes, headerOffset, checksum } = zipped;
  if (storedBytes > mostBytes || sizeBytes > mostBytes)
    throw new Error(`its ${sizeBytes} bytes are more than an image in an archive may have`);
  const local = await readExactly(handle, headerOffset, localBytes);
  if (local.readUInt32LE(0) !== localSignature) throw new Error("the archive has no file where its directory says");
  const start = headerOffset + localBytes + local.readUInt16LE(26) + local.readUInt16LE(28);
  const stored = await readExactly(handle, start, storedBytes);
  const bytes = method === "stored" ? stored : await inflated(stored, { maxOutputLength: Math.max(1, sizeBytes) });
  if (bytes.length !== sizeBytes) throw new Error(`the archive holds ${bytes.length} of its ${sizeBytes} bytes`);
  // Decoders take a JPEG with other bits in it for another picture.
  if (crc32(bytes) !== checksum) throw new Error("its bytes do not have the checksum that the archive states");
  return bytes;
}

async function readExactly(handle: FileHandle, offset: number, lengthBytes: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(lengthBytes), 0, lengthBytes, offset);
  if (bytesRead < lengthBytes) throw new Error(`the archive ends within the image, after ${bytesRead} bytes`);
  return buffer;
}
