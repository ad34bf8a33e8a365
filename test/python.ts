import { execFileSync } from "node:child_process";
import type { TestContext } from "vitest";

/** The interpreter of the distribution, whose packages the tests compare with. */
const interpreter = "/usr/bin/python3";

/**
 * Runs Python code on JSON (`given`) and gives back the JSON that it prints. Where a package is missing the test is skipped and says how to
 * install it; on continuous integration (`CI`) that is a failure.
 *
 * @param packages - modules that the code needs, with the Debian package of each
 */
export function runPython(
  context: TestContext,
  packages: Readonly<Record<string, string>>,
  code: string,
  given: unknown,
): unknown {
  const run = (text: string, input: string): string =>
    execFileSync(interpreter, ["-c", text], {
      encoding: "utf8",
      input,
      stdio: ["pipe", "pipe", "pipe"],
      maxBuffer: 2 ** 28,
    });
  // Looking for the packages is quick; importing PyTorch a second time would take as long as most scripts.
  const missing = `any(importlib.util.find_spec(name) is None for name in ${JSON.stringify(Object.keys(packages))})`;
  try {
    run(`import importlib.util, sys\nsys.exit(${missing})`, "");
  } catch (error) {
    const reason = `Python without ${Object.keys(packages).join(", ")} (Debian: apt install ${Object.values(packages).join(" ")})`;
    if (process.env.CI) throw new Error(`${reason}; continuous integration has to install it`, { cause: error });
    context.skip(reason);
  }
  return JSON.parse(run(`import json, sys\ngiven = json.load(sys.stdin)\n${code}`, JSON.stringify(given)));
}
