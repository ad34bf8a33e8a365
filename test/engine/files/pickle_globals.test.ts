import { describe, expect, test } from "vitest";
import { ForbiddenGlobalError } from "../../../engine/files/errors.ts";
import { unpickle } from "../../../engine/files/pytorch/unpickler.ts";
import { pickleBytes, storageBytes, textBytes } from "./pickle_bytes.ts";

import { load } from "./pickle_plain.ts";

describe("names that can act are refused", () => {
  const globals = [
    "os.system",
    "builtins.eval",
    "builtins.getattr",
    "builtins.exec",
    "builtins.__import__",
    "posix.system",
    "nt.system",
    "subprocess.Popen",
    "importlib.import_module",
    "runpy.run_path",
    "shutil.rmtree",
    "socket.socket",
    "ctypes.CDLL",
    "pickle.loads",
    "types.CodeType",
    "operator.methodcaller",
    "pathlib.Path.unlink",
    "io.open",
    "torch.load",
    "torch.hub.load",
    "torch.storage._load_from_bytes",
    "torch.utils.os.system",
    "numpy.load",
    "harmless.__globals__",
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

  test("getattr for more than a member of a class", () => {
    const attribute = (owner: string, name: string): unknown =>
      load(`cbuiltins\ngetattr\n${owner}`, textBytes(name), "\x86R");
    expect(() => attribute("ctorch\nnn\n", "__globals__")).toThrow('"builtins.getattr"');
    expect(() => attribute("ctorch\nnn\n", "os")).toThrow('"builtins.getattr"');
    expect(() => attribute("K\x01", "real")).toThrow('"builtins.getattr"');
    expect(() => load("cbuiltins\ngetattr\n(ctorch\nnn\nK\x01tR")).toThrow('"builtins.getattr"');
    expect(() => load("cbuiltins\ngetattr\n)R")).toThrow('"builtins.getattr"');
  });
});

describe("names of unknown classes are names only", () => {
  test("a class that is called leaves a record of the call", () => {
    expect(load("cpathlib\nPosixPath\n(", textBytes("runs"), textBytes("x"), "tR")).toEqual({
      "pathlib.PosixPath": null,
      args: ["runs", "x"],
    });
    expect(load("cdatetime\ndatetime\nC\x02ab\x85R")).toMatchObject({ "datetime.datetime": null });
    expect(load("cpkg.io\nOptions\n)\x81}", textBytes("a"), "K", 1, "sb")).toMatchObject({
      "pkg.io.Options": { a: 1 },
    });
    expect(load("cconstructor\nconstructor\n)R")).toMatchObject({ "constructor.constructor": null });
    expect(load("c__proto__\n__proto__\n")).toEqual({ global: "__proto__.__proto__" });
  });

  test("keyword arguments of an unknown class are kept", () => {
    expect(load("cpkg\nA\n)}K\x01K\x02s\x92")).toMatchObject({ "pkg.A": { 1: 2 } });
    expect(() => load("ctorch._utils\n_rebuild_qtensor\n)}K\x01K\x02s\x92")).not.toThrow();
  });

  test("what a record of a call is called for is a record, too", () => {
    expect(load("cfunctools\npartial\ncpkg\nf\n\x85R)R")).toMatchObject({ "functools.partial": null });
    expect(() => load("cfunctools\npartial\n)R]R")).toThrow("not callable");
  });

  test("a member of an enumeration, as Python 3.11 writes it, is its name", () => {
    expect(load("c__builtin__\ngetattr\nq\x00cpkg\nColour\nX\x03\0\0\0RED\x86R")).toEqual({ global: "pkg.Colour.RED" });
    expect(load("cbuiltins\ngetattr\ncpkg\nA\n)RX\x01\0\0\0f\x86R")).toMatchObject({ "builtins.getattr": null });
  });

  test("objects of the first protocols, subclasses of containers, and defaultdict keep their content", () => {
    expect(load("ccopyreg\n__newobj__\ncpkg\nA\nK\x01\x86R")).toMatchObject({ "pkg.A": null, args: [1] });
    expect(load("ccopyreg\n_reconstructor\n(cpkg\nA\ncbuiltins\ndict\n}K\x01K\x02stR")).toMatchObject({
      entries: { 1: 2 },
    });
    expect(load("ccopyreg\n_reconstructor\n(cpkg\nA\ncbuiltins\nlist\n]K\x01atR")).toMatchObject({ items: [1] });
    expect(load("cpkg\nD\n)RK\x01K\x02s")).toMatchObject({ entries: { 1: 2 } });
    expect(load("ccollections\ndeque\n)RK\x01a(K\x02\x90")).toMatchObject({ items: [1, 2] });
    expect(load("ccollections\ndefaultdict\ncbuiltins\nlist\n\x85RK\x01K\x02s")).toEqual({ 1: 2 });
    expect(load("ccollections\ndefaultdict\n(N}K\x01K\x02stR")).toEqual({ 1: 2 });
    expect(load("cbuiltins\ndict\n)R")).toEqual({});
    expect(
      load("(cbuiltins\nlist\n)Rcbuiltins\nlist\n)\x85Rcbuiltins\ntuple\n)Rcbuiltins\ntuple\n(K\x01t\x85Rt"),
    ).toEqual({
      tuple: [[], [], { tuple: [] }, { tuple: [1] }],
    });
  });

  test("a class whose source was stored beside it is the class", () => {
    expect(load("(X\x06\0\0\0modulecpkg\nNet\nX\x01\0\0\0fNtQ)\x81")).toMatchObject({ "pkg.Net": null });
  });
});
