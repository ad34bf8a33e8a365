import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bf16ToNumber, f16ToNumber } from "../../../engine/core/half_precision.ts";
import {
  CheckpointError,
  CorruptFileError,
  EmptyFileError,
  ForbiddenGlobalError,
  ForeignFileError,
  TruncatedFileError,
} from "../../../engine/files/errors.ts";
import type { HostTensor } from "../../../engine/files/host_tensor.ts";
import { openCheckpoint } from "../../../engine/files/open_weights.ts";
import type { PlainValue } from "../../../engine/files/pytorch/pickle_tree.ts";
import { fileSource } from "../../../engine/platform/files_node.ts";

// The files and `expected.json` were made with PyTorch 1.13; test/fixtures/checkpoints/expected.json says how.
const folder = fileURLToPath(new URL("../../fixtures/checkpoints/", import.meta.url));

interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sum: number | string;
  readonly first8: readonly (number | string | boolean)[];
}
interface ExpectedFile {
  readonly format?: string;
  readonly expect: "load" | "refuse" | "error";
  readonly tensors: Record<string, ExpectedTensor>;
  readonly plain_values: Record<string, PlainValue>;
}
const expected: { files: Record<string, ExpectedFile> } = JSON.parse(readFileSync(`${folder}expected.json`, "utf8"));
const exotic = expected.files["exotic.pth"];
const files = Object.entries({
  ...expected.files,
  // exotic.pth packed again by Python's zipfile with ZIP_DEFLATED, as download sites do.
  ...(exotic && { "exotic-deflated.pth": exotic }),
});

const dtypeNames: Readonly<Record<string, string>> = {
  float32: "f32",
  float16: "f16",
  bfloat16: "bf16",
  float64: "f64",
  int64: "i64",
  int32: "i32",
  uint8: "u8",
  bool: "bool",
};

/** Elements as `expected.json` writes them: integers as decimal text, booleans as such, floats as numbers. */
function numbers({ dtype, data }: HostTensor): (number | string)[] {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Array.from(data, String);
  if (dtype === "f16") return Array.from(data, f16ToNumber);
  if (dtype === "bf16") return Array.from(data, bf16ToNumber);
  return Array.from(data, (value) => (dtype === "f32" || dtype === "f64" ? value : String(value)));
}

function sum(values: readonly (number | string)[]): number | string {
  if (values.length > 0 && values.every((value) => typeof value === "string")) {
    return String(
      BigInt.asIntN(
        64,
        values.reduce((total, value) => total + BigInt(value), 0n),
      ),
    );
  }
  return values.reduce<number>((total, value) => total + Number(value), 0);
}

describe("files made by PyTorch", () => {
  for (const [name, file] of files.filter(([, file]) => file.expect === "load")) {
    test(`${name} yields every tensor with its type, shape, values and sum`, async () => {
      const checkpoint = await openCheckpoint(await fileSource(folder + name));
      expect(checkpoint.format).toBe(file.format === "zip" ? "pytorch-zip" : "pytorch-legacy");
      expect([...checkpoint.tensors.keys()].sort()).toEqual(Object.keys(file.tensors).sort());
      for (const [path, want] of Object.entries(file.tensors)) {
        const tensor = await checkpoint.read(path);
        const values = numbers(tensor);
        expect([path, tensor.dtype, tensor.shape]).toEqual([path, dtypeNames[want.dtype], want.shape]);
        expect(values.slice(0, 8)).toEqual(
          want.first8.map((value) => (value === true ? "1" : value === false ? "0" : value)),
        );
        // Both sums are taken in float64, in different orders: an error of at most n * 2^-53 * sum of magnitudes.
        const total = sum(values);
        if (typeof total === "string") expect(total).toBe(want.sum);
        else {
          const magnitude = values.reduce<number>((all, value) => all + Math.abs(Number(value)), 0);
          expect(Math.abs(total - Number(want.sum))).toBeLessThanOrEqual(2 * values.length * 2 ** -53 * magnitude);
        }
        const floats = await checkpoint.readAsF32(path);
        expect(Array.from(floats)).toEqual(values.map((value) => Math.fround(Number(value))));
      }
      await checkpoint.close();
    });

    test(`${name} yields the other leaves`, async () => {
      const checkpoint = await openCheckpoint(await fileSource(folder + name));
      const leaves = new Map(checkpoint.plainValues);
      // The namespace may be kept or dropped; it is kept here, under its own path.
      for (const path of leaves.keys()) if (path.startsWith("args/")) leaves.delete(path);
      expect(Object.fromEntries(leaves)).toEqual(file.plain_values);
      await checkpoint.close();
    });
  }

  test("a namespace is kept as plain values", async () => {
    const checkpoint = await openCheckpoint(await fileSource(`${folder}mae-training.pth`));
    const args = [...checkpoint.plainValues].filter(([path]) => path.startsWith("args/"));
    expect(args.length).toBeGreaterThan(0);
    await checkpoint.close();
  });
});

const forbidden: Readonly<Record<string, string>> = {
  "malicious-command.pth": "posix.system",
  "malicious-eval.pth": "__builtin__.eval",
  "malicious-import.pth": "importlib.import_module",
  "malicious-legacy.pth": "posix.system",
};

describe("malicious files", () => {
  for (const [name] of files.filter(([, file]) => file.expect === "refuse")) {
    test(`${name} is refused by the name of the global that it asks for`, async () => {
      const error: unknown = await openCheckpoint(await fileSource(folder + name)).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ForbiddenGlobalError);
      expect(error).toMatchObject({ kind: "forbidden", global: forbidden[name], name: "ForbiddenGlobalError" });
      expect(String(error)).toContain(`"${forbidden[name]}"`);
    });
  }
});

const damage: Readonly<
  Record<string, readonly [typeof CheckpointError | (new (m: string) => CheckpointError), string]>
> = {
  "truncated.pth": [TruncatedFileError, "fetch the file again"],
  "truncated-legacy.pth": [TruncatedFileError, "outside the 19638 bytes"],
  "not-a-checkpoint.pth": [ForeignFileError, "HTML"],
  "empty.pth": [EmptyFileError, "empty"],
};

describe("damaged and foreign files", () => {
  for (const [name] of files.filter(([, file]) => file.expect === "error")) {
    test(`${name} gives an error that says what is wrong`, async () => {
      const error: unknown = await openCheckpoint(await fileSource(folder + name)).catch((reason: unknown) => reason);
      const [type = CorruptFileError, text = "?"] = damage[name] ?? [];
      expect(error).toBeInstanceOf(type);
      expect(error).toBeInstanceOf(CheckpointError);
      expect(String(error)).toContain(text);
      expect(String(error)).toContain(name);
    });
  }
});
