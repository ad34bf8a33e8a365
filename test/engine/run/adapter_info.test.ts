import { expect, it } from "vitest";
import { describeAdapter } from "../../../engine/run/adapter_info.ts";

/** What Chromium says of its software adapter: no description, no device. */
const browserSoftware = { vendor: "google", architecture: "swiftshader", description: "", device: "" };

/** A device of another origin, as `openDevice({ device })` is given it: without its adapter. */
const device = (info: object): GPUDevice => Object.assign(Object.create(null), { adapterInfo: info });

it.each([
  [browserSoftware, "software", "google swiftshader"],
  [
    { ...browserSoftware, architecture: "", description: "llvmpipe (LLVM 15.0.6)" },
    "software",
    "llvmpipe (LLVM 15.0.6)",
  ],
  [{ vendor: "any", architecture: "", description: "", device: "", isFallbackAdapter: true }, "software", "any"],
  [{ vendor: "nvidia", architecture: "hopper", description: "", device: "" }, "unknown", "nvidia hopper"],
])("a caller's device tells its kind as an adapter does: %o", (info, type, name) => {
  expect(describeAdapter(device(info), undefined)).toMatchObject({ type, name });
});
