import { expect, it } from "vitest";
import { TuningTable } from "../../../engine/core/tuning_table.ts";
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

it("takes a shipped choice where nothing was measured, and keeps it among the entries once it was taken", () => {
  const table = new TuningTable();
  const request = {
    operation: "softmax",
    shapeClass: "a",
    candidates: ["invocation", "workgroup"],
    others: [],
    example: () => [],
  };
  table.ship([
    ["softmax a", "workgroup"],
    ["softmax b", "workgroup"],
    ["softmax c", "spiral"],
  ]);
  expect([table.entries(), table.ships("softmax a")]).toEqual([[], false]);
  expect(table.choose(request)).toBe("workgroup");
  expect([table.entries(), table.ships("softmax a")]).toEqual([[["softmax a", "workgroup"]], true]);
  table.set("softmax b", "invocation");
  expect(table.choose({ ...request, shapeClass: "b" })).toBe("invocation");
  expect(table.choose({ ...request, shapeClass: "c" })).toBe("invocation");
  expect([table.ships("softmax b"), table.ships("softmax c")]).toEqual([false, false]);
});
