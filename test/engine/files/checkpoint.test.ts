import { describe, expect, test } from "vitest";
import { memorySource } from "../../../engine/files/byte_source.ts";
import { ForeignFileError } from "../../../engine/files/errors.ts";
import { openCheckpoint } from "../../../engine/files/open_weights.ts";
import { type Entry, floats, open, safetensors, small, zip } from "./file_bytes.ts";
import { pickleBytes } from "./pickle_bytes.ts";

describe("strangers are named", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"],
    ["\x1f\x8b\x08", "gzip"],
    ["\x89HDF\r\n", "HDF5"],
    ["GGUF", "GGUF"],
    ['{"metadata": {"total_size": 1}}', "index of a model in several files"],
    ["[1, 2, 3, 4]", "index of a model in several files"],
    ["hello", "neither safetensors nor"],
  ];
  for (const [text, message] of cases) {
    test(message, async () => {
      await expect(open(pickleBytes(text))).rejects.toThrow(ForeignFileError);
      await expect(open(pickleBytes(text))).rejects.toThrow(message);
    });
  }
});

test("zip archives of something else are refused with advice", async () => {
  const data = new Uint8Array(1);
  await expect(open(zip([{ name: "a.npy", data }]))).rejects.toThrow("it is an .npz of NumPy arrays");
  await expect(open(zip([{ name: "vit.pth", data }]))).rejects.toThrow("unzip it and give the file in it: vit.pth");
  await expect(open(zip([{ name: "a.txt", data }]))).rejects.toThrow("give a file of torch.save");
});

test("reading one tensor reads its bytes and a local header, not the rest of the file", async () => {
  const rest: Entry = { name: "data/1", data: floats(1_000_000) };
  const file = memorySource(zip([{ name: "data.pkl", data: small }, rest, { name: "data/0", data: floats(2) }]));
  let bytesRead = 0;
  const counting = {
    ...file,
    async read(offset: number, length: number) {
      bytesRead += length;
      return file.read(offset, length);
    },
  };
  const checkpoint = await openCheckpoint(counting);
  expect(bytesRead).toBeLessThan(70_000); // the directory is looked for in the last 64 KiB
  bytesRead = 0;
  await checkpoint.read("");
  expect(bytesRead).toBe(30 + 8);
});

test("a source is closed when it cannot be opened, and by the checkpoint otherwise", async () => {
  let closed = 0;
  const source = (bytes: Uint8Array): ReturnType<typeof memorySource> => ({
    ...memorySource(bytes),
    close: async () => void closed++,
  });
  await expect(openCheckpoint(source(pickleBytes("no")))).rejects.toThrow();
  expect(closed).toBe(1);
  await (await openCheckpoint(source(safetensors({})))).close();
  expect(closed).toBe(2);
});
