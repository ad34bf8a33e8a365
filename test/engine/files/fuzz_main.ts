// Long run of the fuzzer, e.g. `deno run -A test/engine/files/fuzz_main.ts 20000 1 npy`: files, seed, formats.
import process from "node:process";
import { fuzz, fuzzFormats } from "./fuzz.ts";

const [files = "20000", seed = "1", ...chosen] = process.argv.slice(2);
for (const format of fuzzFormats) {
  if (chosen.length > 0 && !chosen.includes(format)) continue;
  const start = performance.now();
  const report = await fuzz(format, Number(files), Number(seed));
  console.log(JSON.stringify({ ...report, seconds: Math.round((performance.now() - start) / 1000) }));
}
