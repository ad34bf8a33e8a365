import { expect, it } from "vitest";
import { OptionError, ShapeError } from "../../../engine/index.ts";
import { dropPath } from "../../../engine/ops/drop_path.ts";
import { testDevice } from "../../device.ts";

const device = await testDevice({ canaries: true });

it("drops whole samples and scales the others up", async () => {
  const x = device.tensor([1, 2, 3, 4, 5, 6], [3, 1, 2]);
  expect([...(await dropPath(x, 0.5, device.tensor([1, 0, 1])).read())]).toEqual([2, 4, 0, 0, 10, 12]);
});

it("refuses a rate of 1 and a mask of another length", () => {
  const x = device.tensor([1, 2], [2, 1]);
  expect(() => dropPath(x, 1, device.tensor([1, 0]))).toThrow(OptionError);
  expect(() => dropPath(x, 0.1, device.tensor([1]))).toThrow(ShapeError);
});
