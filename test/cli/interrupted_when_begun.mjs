// Loaded before the command (--import): the process gets SIGINT as soon as the settings of its run are written.
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import process from "node:process";

const { rename } = fs;
fs.rename = async (from, to) => {
  await rename(from, to);
  if (String(to).endsWith("config.json")) process.kill(process.pid, "SIGINT");
};
syncBuiltinESMExports();
