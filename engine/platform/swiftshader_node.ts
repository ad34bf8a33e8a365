import { existsSync, rmSync } from "node:fs";
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { cacheDirectory, makeFolder } from "./cache_node.ts";

const loaderName = "libvulkan.so.1";

/** Where an unpacked SwiftShader lies. */
export interface SoftwareDriver {
  readonly loader: string;
  readonly manifest: string;
}

/**
 * Finds an installed `@sparticuz/chromium` and unpacks the SwiftShader driver in it once into the user's cache folder.
 *
 * @returns undefined if the package is not installed or has no driver for this system
 */
export async function findSwiftShader(): Promise<SoftwareDriver | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const archive = findArchive();
  if (!archive) return undefined;
  const version = archive.version.replace(/[^\w.-]/g, "");
  const driver = driverIn(join(cacheDirectory(), `swiftshader-${version}`));
  if (existsSync(driver.manifest) && existsSync(driver.loader)) return driver;
  try {
    await unpack(archive.path, dirname(driver.manifest));
    return driver;
  } catch {
    return withoutCache(archive.path);
  }
}

function driverIn(folder: string): SoftwareDriver {
  return { loader: join(folder, loaderName), manifest: join(folder, "vk_swiftshader_icd.json") };
}

let unkept: SoftwareDriver | undefined;

/** For a cache that cannot be written: a folder of this process, removed when it ends. @returns undefined if that fails, too */
async function withoutCache(archive: string): Promise<SoftwareDriver | undefined> {
  if (unkept) return unkept;
  try {
    const folder = await mkdtemp(join(tmpdir(), "mimrefine-swiftshader-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    await unpack(archive, join(folder, "driver"));
    unkept = driverIn(join(folder, "driver"));
  } catch {
    return undefined;
  }
  return unkept;
}

function findArchive(): { path: string; version: string } | undefined {
  for (const base of [import.meta.url, join(process.cwd(), "package.json")]) {
    const require = createRequire(base);
    for (const folder of require.resolve.paths("@sparticuz/chromium") ?? []) {
      const root = join(folder, "@sparticuz", "chromium");
      const path = join(root, "bin", "swiftshader.tar.br");
      if (existsSync(path)) {
        const manifest: unknown = require(join(root, "package.json"));
        const version =
          manifest && typeof manifest === "object" && "version" in manifest ? String(manifest.version) : "0";
        return { path, version };
      }
    }
  }
  return undefined;
}

async function unpack(archive: string, folder: string): Promise<void> {
  const tar = await promisify(brotliDecompress)(await readFile(archive));
  const temporary = `${folder}.${process.pid}`;
  try {
    await rm(temporary, { recursive: true, force: true });
    await makeFolder(temporary);
    await unpackInto(temporary, tar);
    await pointManifestAtLibrary(join(temporary, "vk_swiftshader_icd.json"), join(folder, "libvk_swiftshader.so"));
    if (existsSync(folder)) await rm(folder, { recursive: true, force: true });
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

async function unpackInto(temporary: string, tar: Buffer): Promise<void> {
  // POSIX ustar (IEEE 1003.1): 512-byte headers, name at 0, octal size at 124, type at 156.
  for (let offset = 0; offset + 512 <= tar.length; ) {
    const name = tar.toString("utf8", offset, offset + 100).replace(/\0.*$/s, "");
    const sizeBytes = Number.parseInt(tar.toString("utf8", offset + 124, offset + 136), 8) || 0;
    const isFile = tar[offset + 156] === 0x30 || tar[offset + 156] === 0;
    const file = name.split("/").at(-1);
    if (isFile && file) await writeFile(join(temporary, file), tar.subarray(offset + 512, offset + 512 + sizeBytes));
    offset += 512 + Math.ceil(sizeBytes / 512) * 512;
  }
}

async function pointManifestAtLibrary(manifest: string, library: string): Promise<void> {
  const text = await readFile(manifest, "utf8");
  await writeFile(
    manifest,
    text.replace(/("library_path"\s*:\s*)"[^"]*"/, (_, key: string) => `${key}${JSON.stringify(library)}`),
  );
}
