import { describe, expect, it } from "vitest";
import { describeAdapter } from "../../../engine/run/adapter_info.ts";
import { matricesOf } from "../../../engine/run/adapter_matrices.ts";

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

describe("the matrices of an adapter", () => {
  /** As Dawn lists them: objects whose properties are getters of their class. */
  class Listed {
    get componentType(): string {
      return "f16";
    }
    get resultComponentType(): string {
      return "f32";
    }
    get M(): number {
      return 8;
    }
    get N(): number {
      return 16;
    }
    get K(): number {
      return 16;
    }
  }
  const features = ["subgroups", "subgroup-size-control", "chromium-experimental-subgroup-matrix"];
  const found = (info: object, has: readonly string[] = features) => {
    const adapter: GPUAdapter = Object.assign(Object.create(null), { info });
    return matricesOf(Object.assign(device(info), { features: new Set(has) }), adapter);
  };
  const oneSize = { subgroupMinSize: 32, subgroupMaxSize: 32, vendor: "nvidia", subgroupMatrixConfigs: [new Listed()] };
  const shape = { rows: 8, columns: 16, depth: 16, component: "f16", result: "f32" };

  it("are read from its list, without entries of an unknown form", () => {
    const odd = [{ componentType: "f64", resultComponentType: "f64", M: 8, N: 8, K: 8 }, null, { M: 8 }];
    expect(found({ ...oneSize, subgroupMatrixConfigs: [...odd, new Listed()] })).toEqual({
      shapes: [shape],
      subgroupSize: 32,
    });
  });

  it.each([
    ["one size as it is", {}, features, 32],
    ["16 on Intel", { vendor: "intel", subgroupMinSize: 8 }, features, 16],
    ["32 on AMD", { vendor: "amd", subgroupMaxSize: 64 }, features, 32],
    [
      "none where several sizes cannot be pinned",
      { vendor: "amd", subgroupMaxSize: 64 },
      [...features].filter((name) => !name.includes("size")),
      undefined,
    ],
    ["none where a vendor's size is not in the range", { vendor: "intel", subgroupMaxSize: 64 }, features, undefined],
    ["8 of a software adapter", { isFallbackAdapter: true, subgroupMinSize: 8, subgroupMaxSize: 8 }, features, 8],
    ["none of a software adapter with wider ones", { isFallbackAdapter: true }, features, undefined],
    ["none of an unknown vendor with several sizes", { vendor: "other", subgroupMaxSize: 64 }, features, undefined],
  ])("pin %s", (_what, info, has, size) => {
    expect(found({ ...oneSize, ...info }, has).subgroupSize).toBe(size);
  });

  it("are none without the feature or the list", () => {
    const none = { shapes: [], subgroupSize: undefined };
    expect(found(oneSize, ["subgroups"])).toEqual(none);
    expect(found({ ...oneSize, subgroupMatrixConfigs: undefined })).toEqual(none);
  });
});
