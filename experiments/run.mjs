// Runs an experiment and prints its tables; what was interrupted goes on when started again.
//
//   node experiments/run.mjs digits|emoji|fashion_mnist [--out FOLDER] [--seeds 0,1,2] [--data FOLDER]
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";

const names = ["digits", "emoji", "fashion_mnist"];
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: "string" }, seeds: { type: "string" }, data: { type: "string" } },
});
const [name = ""] = positionals;
if (!names.includes(name)) {
  console.error(`experiments: ${name || "no name"}; choose ${names.join(", ")}`);
  process.exit(2);
}
const folder = values.out ?? join("runs/experiments", name);
const { run } = await import(`./${name}.mjs`);
const options = {
  folder,
  ...(values.seeds === undefined ? {} : { seeds: values.seeds.split(",").map(Number) }),
  ...(values.data === undefined ? {} : { data: values.data }),
};
const text = await run(options);
await writeFile(join(folder, "table.md"), `${text}\n`);
console.log(text);
