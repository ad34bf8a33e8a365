import { describe, expect, test } from "vitest";
import { ForbiddenGlobalError } from "../../../engine/files/errors.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { pickleBytes, storageBytes } from "./pickle_bytes.ts";

import { load } from "./pickle_plain.ts";

describe("everything that is not data is refused by name", () => {
  const globals = [
    "os.system",
    "builtins.eval",
    "builtins.getattr",
    "torch.load",
    "torch.ComplexFloatStorage",
    "torch._utils._rebuild_qtensor",
    "numpy.core.multiarray._reconstruct",
    "__main__.Model",
    "argparse.ArgumentParser",
  ];
  for (const full of globals) {
    const [module, name] = [full.slice(0, full.lastIndexOf(".")), full.slice(full.lastIndexOf(".") + 1)];
    test(full, () => {
      for (const bytes of [
        pickleBytes(`c${module}\n${name}\n.`),
        pickleBytes("\x8c", module.length, module, "\x8c", name.length, name, "\x93."),
        pickleBytes(`(i${module}\n${name}\n.`),
      ]) {
        expect(() => unpickle(bytes)).toThrow(ForbiddenGlobalError);
        expect(() => unpickle(bytes)).toThrow(`asks for "${full}"`);
      }
    });
  }

  test("codes of the extension registry", () => {
    expect(() => load("\x82", 1)).toThrow('"extension 1"');
    expect(() => load("\x83", 1, 1)).toThrow('"extension 257"');
    expect(() => load("\x84", 1, 0, 0, 0)).toThrow('"extension 1"');
  });

  test("a storage of a class that is none", () => {
    expect(() => load(storageBytes("device", 1))).toThrow(ForbiddenGlobalError);
  });

  test("names from the prototype of objects", () => {
    expect(() => load("cconstructor\nconstructor\n")).toThrow(ForbiddenGlobalError);
    expect(() => load("c__proto__\n__proto__\n")).toThrow(ForbiddenGlobalError);
  });
});
