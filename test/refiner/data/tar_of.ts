const blockBytes = 512;

/** A ustar archive of the given files, as `tar --format=ustar` writes it. */
export function tarOf(files: Readonly<Record<string, Uint8Array | string>>): Uint8Array {
  const blocks = Object.entries(files).flatMap(([name, content]) => tarEntry(name, content));
  return Buffer.concat([...blocks, new Uint8Array(2 * blockBytes)]);
}

/** Header and padded content of one entry; `type` as in the tar format, "0" being a regular file. */
export function tarEntry(name: string, content: Uint8Array | string, type = "0"): Uint8Array[] {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const header = Buffer.alloc(blockBytes);
  header.write(name.slice(0, 100), 0);
  header.write("0000644\0", 100);
  header.write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write(" ".repeat(8), 148);
  header.write(type, 156);
  header.write("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return [header, bytes, new Uint8Array((blockBytes - (bytes.length % blockBytes)) % blockBytes)];
}
