import { expect, it } from "vitest";
import { recordProgram, softmax } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice();
const record = () => recordProgram(device, () => ({ y: softmax(device.tensor([1, 2, 3, 4], [2, 2])) }));

it("takes the built-in variant where an unknown one was chosen, and tells it", async () => {
  record().destroy();
  const [key = ""] = [...device.tuning.requests.keys()].filter((one) => one.startsWith("softmax"));
  expect(device.tuning.unknownChoices()).toEqual([]);
  device.tuning.load([
    [key, "spiral"],
    ["nothing that is recorded", "x"],
  ]);
  const program = record();
  expect(device.tuning.unknownChoices()).toEqual([`spiral of ${key}`]);
  const { y } = await (await program.run({}, ["y"])).read();
  expect((y?.[0] ?? 0) + (y?.[1] ?? 0)).toBeCloseTo(1, 6);
  program.destroy();
});
