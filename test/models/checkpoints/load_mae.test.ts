import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  hostTensor,
  memorySink,
  memorySource,
  openCheckpoint,
  TensorItem,
  writeSafetensors,
} from "../../../engine/files/index.ts";
import { fileSource } from "../../../engine/platform/files_node.ts";
import { encoderContent, loadEncoder, loadMae, saveMae } from "../../../models/checkpoints/index.ts";
import { MaskedAutoencoder, vitConfig } from "../../../models/index.ts";
import { testDevice } from "../../device.ts";
import { randomEncoder } from "../random_encoder.ts";

const device = await testDevice();

async function fixture(name: string) {
  return openCheckpoint(
    await fileSource(fileURLToPath(new URL(`../../fixtures/checkpoints/${name}`, import.meta.url))),
  );
}

describe("a checkpoint of Facebook's MAE", () => {
  it("gives encoder and decoder, and uses every tensor", async () => {
    const checkpoint = await fixture("mae.pth");
    const { model, report } = await loadMae(device, checkpoint, { heads: 2, decoderHeads: 2 }, "mae.pth");
    expect(model.decoder).toEqual({ width: 8, blocks: 1, heads: 2, mlpWidth: 32 });
    expect([report.dropped, report.missing, report.leftOver]).toEqual([[], [], []]);
    const token = await model.decoderParameters.get("mask_token").read();
    expect(token).toEqual(await checkpoint.readAsF32("model/mask_token"));
    const positions = await model.decoderPositions.read();
    expect(positions).toEqual((await checkpoint.readAsF32("model/decoder_pos_embed")).slice(8));
    await checkpoint.close();
  });

  it("takes the width of the decoder's MLP from the file", async () => {
    const config = vitConfig({ patchPixels: 2, width: 12, blocks: 1, heads: 3, heightPixels: 4, widthPixels: 4 });
    const model = new MaskedAutoencoder(randomEncoder(device, config), { width: 8, blocks: 2, heads: 2, mlpWidth: 20 });
    model.writeSincosPositions();
    const sink = memorySink();
    await saveMae(sink, model);
    const loaded = await loadMae(device, await openCheckpoint(memorySource(sink.bytes())));
    expect(loaded.model.decoder.mlpWidth).toBe(20);
    expect(loaded.model.decoderParameters.get("decoder_blocks.1.mlp.fc1.weight").shape).toEqual([20, 8]);
  });

  it("asks for the heads of a decoder of unusual width", async () => {
    await expect(loadMae(device, await fixture("mae.pth"), { heads: 2 })).rejects.toThrow("--decoder-heads");
  });

  it("refuses a tensor of the decoder that has another size, by name", async () => {
    const checkpoint = await fixture("mae.pth");
    const read = checkpoint.readAsF32.bind(checkpoint);
    checkpoint.readAsF32 = async (name) => (name.endsWith("mask_token") ? new Float32Array(9) : read(name));
    const loaded = loadMae(device, checkpoint, { heads: 2, decoderHeads: 2 }, "mae.pth");
    await expect(loaded).rejects.toThrow(/^mae\.pth: mask_token is \[.*\], expected \[1,1,8\]/);
    await checkpoint.close();
  });

  it("gives no decoder where the file has none", async () => {
    await expect(loadMae(device, await fixture("refiner.th"))).rejects.toThrow("no decoder");
  });
});

describe("loading", () => {
  it("leaves nothing on the device where a tensor cannot be read", async () => {
    const config = vitConfig({ patchPixels: 2, width: 12, blocks: 1, heads: 3, heightPixels: 4, widthPixels: 4 });
    const model = new MaskedAutoencoder(randomEncoder(device, config), { width: 8, blocks: 1, heads: 2 });
    const sink = memorySink();
    await saveMae(sink, model);
    const held = device.counters.heldBytes;
    for (const path of ["norm.bias", "decoder_pred.bias"]) {
      const checkpoint = await openCheckpoint(memorySource(sink.bytes()));
      const read = checkpoint.readAsF32.bind(checkpoint);
      checkpoint.readAsF32 = (name) => (name === path ? Promise.reject(new Error("cut off")) : read(name));
      await expect(loadMae(device, checkpoint)).rejects.toThrow("cut off");
    }
    expect(device.counters.heldBytes).toBe(held);
  });

  it("reads the encoder's tensors in bounded pieces, and nothing else of a training checkpoint", async () => {
    const config = vitConfig({ patchPixels: 4, width: 192, blocks: 2, heads: 3, heightPixels: 32, widthPixels: 32 });
    const stored = encoderContent(randomEncoder(device, config));
    const items = [...stored.parameters].map(([name, { shape, read }]) => {
      const item = new TensorItem("f32", shape, async () => hostTensor("f32", shape, await read()));
      return [`model/${name}`, item] as const;
    });
    const moment = TensorItem.of(hostTensor("f32", [4e6], new Float32Array(4e6)));
    const sink = memorySink();
    await writeSafetensors(sink, new Map([["optimizer/moment", moment], ...items]));
    const source = memorySource(sink.bytes());
    const lengths: number[] = [];
    const counted = {
      ...source,
      read: (offset: number, length: number) => {
        lengths.push(length);
        return source.read(offset, length);
      },
    };
    const { report } = await loadEncoder(device, await openCheckpoint(counted));
    expect(report.dropped).toEqual([{ names: ["optimizer/moment"], reason: "in optimizer, not the encoder's" }]);
    const encoderBytes = items.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0);
    const positionBytes = 64 * 192 * 4; // read once more, to see their class row
    const headerBytes = 64 * 1024;
    expect(lengths.reduce((sum, length) => sum + length, 0)).toBeLessThan(encoderBytes + positionBytes + headerBytes);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(4 * 2 ** 20);
  });
});
