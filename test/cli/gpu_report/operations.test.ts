import { expect, it } from "vitest";
import { measureOperation, requestsOf } from "../../../cli/gpu_report/measure_operation.ts";
import { openDevice, Program } from "../../../engine/index.ts";
import { testDevice } from "../../device.ts";
import { recordings } from "../../engine/ops/variant_recordings.ts";

const device = await testDevice();

it("the shapes of the report reach every operation with variants", () => {
  const reached = new Set(requestsOf(device).map(({ request }) => request.operation));
  expect([...reached].sort()).toEqual(Object.keys(recordings).sort());
});

it("an operation is measured with all variants that run here", { timeout: 60_000 }, async () => {
  device.tuning.requests.clear();
  recordings.softmax?.(new Program(device));
  const [request] = device.tuning.requests.values();
  if (!request) throw new Error("softmax asked for nothing");
  const peaks = { gflops: 1e6, gigabytesPerSecond: 1e6 };
  const found = await measureOperation(device, { request, use: "a test" }, peaks, Number.POSITIVE_INFINITY);
  expect(found.flops).toBe(2 * 5 * 24 * 64); // forward and backward
  expect(found.builtIn).toBe(request.candidates[0]);
  const names = [...request.candidates, ...request.others];
  expect(found.variants.map(({ variant }) => variant)).toEqual(names);
  for (const { variant, error, wallMs, gflops, arithmeticShare } of found.variants) {
    expect([variant, error]).toEqual([variant, null]);
    expect(wallMs).toBeGreaterThan(0);
    expect(arithmeticShare).toBeCloseTo((gflops ?? 0) / 1e6, 12);
  }
  expect(names).toContain(found.fastest);
});

it("a variant that fails is stated and does not keep the others from being measured", { timeout: 60_000 }, async () => {
  device.tuning.requests.clear();
  recordings.softmax?.(new Program(device));
  const [request] = device.tuning.requests.values();
  if (!request) throw new Error("softmax asked for nothing");
  const [first = "", second = ""] = request.candidates;
  const example: typeof request.example = (program, name) => {
    if (name === second) throw new Error("no such kernel in /srv/kernels");
    return request.example(program, name);
  };
  const found = await measureOperation(
    device,
    { request: { ...request, example }, use: "" },
    null,
    Number.POSITIVE_INFINITY,
  );
  expect(found.variants.map(({ error }) => error)).toEqual([null, "no such kernel in (path)"]);
  expect(found.fastest).toBe(first);
});

it("another device takes over where one was lost", { timeout: 60_000 }, async () => {
  const { DeviceKeeper } = await import("../../../cli/gpu_report/device_keeper.ts");
  const keeper = new DeviceKeeper(() => openDevice({ notice: () => undefined }));
  const first = await keeper.device();
  expect(await keeper.device()).toBe(first);
  first.gpu.destroy();
  await first.gpu.lost;
  const second = await keeper.device();
  expect(second).not.toBe(first);
  keeper.close();
});
