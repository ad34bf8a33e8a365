import { expect, it } from "vitest";
import { type Device, DeviceLostError, openDevice, stepScalars } from "../../../engine/index.ts";
import { recordVitStep, type VitShape, vitBatch } from "../vit_step.ts";

const shape: VitShape = { width: 48, depth: 1, heads: 3, tokens: 17, batch: 2, classes: 5 };
const open = (): Promise<Device> => openDevice({ notice: () => undefined });

/** A training run on a device, with its state as host arrays. */
function startRun(device: Device) {
  const { program, ...arenas } = recordVitStep(device, shape);
  const list = [arenas.parameters, arenas.firstMoment, arenas.secondMoment].flatMap(({ chunks }) => chunks);
  return {
    program,
    list,
    start: (step: number) =>
      program.run({ ...vitBatch(shape, step), scalars: stepScalars({ learningRate: 1e-2, step, beta1: 0.9 }) }, [
        "loss",
      ]),
    async loss(step: number): Promise<number | undefined> {
      return (await (await this.start(step)).read()).loss[0];
    },
    save: () => Promise.all(list.map((chunk) => chunk.read())),
  };
}

it("a run goes on to the same numbers on a new device after the first was destroyed in the middle of a step", async () => {
  const whole = await open();
  const undisturbed = startRun(whole);
  const expected = [];
  for (let step = 1; step <= 5; step++) expected.push(await undisturbed.loss(step));
  const expectedState = await undisturbed.save();
  whole.close();

  const first = await open();
  const broken = startRun(first);
  const losses = [await broken.loss(1), await broken.loss(2)];
  const saved = await broken.save();
  const pending = await broken.start(3);
  first.gpu.destroy();
  await expect(pending.read()).rejects.toThrow(DeviceLostError);

  const second = await open();
  const resumed = startRun(second);
  for (const [i, chunk] of resumed.list.entries()) second.write(chunk, saved[i] ?? []);
  for (let step = 3; step <= 5; step++) losses.push(await resumed.loss(step));
  expect(losses).toEqual(expected);
  expect(await resumed.save()).toEqual(expectedState);
  second.close();
});

it("every use of a destroyed device is a DeviceLostError that says how to go on", async () => {
  const device = await open();
  const x = device.tensor([1, 2, 3]);
  const { program, start } = startRun(device);
  await (await start(1)).read();
  device.gpu.destroy();
  await device.gpu.lost;
  await expect(x.read()).rejects.toThrow(/was lost .*; open a new device, record the program again/);
  await expect(start(2)).rejects.toThrow(DeviceLostError);
  await expect(program.profile(vitBatch(shape, 1))).rejects.toThrow(DeviceLostError);
  await expect(device.idle()).rejects.toThrow(DeviceLostError);
  expect(() => device.tensor([1])).toThrow(DeviceLostError);
  expect(() => device.write(x, [1, 2, 3])).toThrow(DeviceLostError);
});

it("a closed device refuses work in the same way", async () => {
  const device = await open();
  const x = device.tensor([1]);
  device.close();
  await expect(x.read()).rejects.toThrow(DeviceLostError);
});

it("a device of the caller is used and not destroyed", async () => {
  const owner = await open();
  const guest = await openDevice({ device: owner.gpu });
  expect([...(await guest.tensor([4, 5]).read())]).toEqual([4, 5]);
  guest.close();
  expect([...(await owner.tensor([6]).read())]).toEqual([6]);
  owner.close();
});
