import { execFile } from "node:child_process";
import { promisify } from "node:util";

const script = `
import os, sys, zipfile
target, folder, inside = sys.argv[1:]
with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
    for place, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(place, name)
            kind = zipfile.ZIP_STORED if name.endswith("1.png") else zipfile.ZIP_DEFLATED
            archive.write(path, os.path.join(inside, os.path.relpath(path, folder)), kind)
`;

/** Packs a folder by Python's zipfile; some pictures are stored, all else is deflated. @param inside - what the folder is called there */
export async function zipped(target: string, folder: string, inside: string): Promise<void> {
  await promisify(execFile)("python3", ["-c", script, target, folder, inside]);
}
