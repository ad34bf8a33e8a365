import { readFileSync } from "node:fs";
import ts from "typescript";
import { z } from "zod";
import { createProgram } from "../../cli/run_cli.ts";

const manifestSchema = z.object({
  exports: z.record(z.string(), z.union([z.string(), z.object({ types: z.string() })])),
});

/** Source file of each entry point of the package that has types, by its name in package.json. */
function entryPoints(): Map<string, string> {
  const manifest = manifestSchema.parse(JSON.parse(readFileSync("package.json", "utf8")));
  return new Map(
    Object.entries(manifest.exports).flatMap(([name, target]) =>
      typeof target === "string"
        ? []
        : [[name, target.types.replace("./dist/types/", "").replace(/\.d\.ts$/, ".ts")] as const],
    ),
  );
}

/** One line per exported name of each entry point, with its kind; names of several entry points stand at the first alone. */
export function publicExports(): string {
  const entries = entryPoints();
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile("tsconfig.json", ts.sys.readFile).config,
    ts.sys,
    ".",
  );
  // Names and kinds need no types of the platform, which take most of the time to read.
  const program = ts.createProgram([...entries.values(), "wgsl.d.ts"], { ...options, noLib: true, types: [] });
  const checker = program.getTypeChecker();
  const found = new Map(
    [...entries].map(([name, file]) => {
      const source = program.getSourceFile(file);
      const module = source && checker.getSymbolAtLocation(source);
      if (!module) throw new Error(`${file} of the entry point ${name} exports nothing`);
      return [name, checker.getExportsOfModule(module).map((symbol) => `${kindOf(symbol, checker)} ${symbol.name}`)];
    }),
  );
  const parts = ["./engine", "./models", "./refiner"];
  const inParts = new Set(parts.flatMap((part) => found.get(part) ?? []));
  const sections = [...found].map(([name, lines]) => {
    if (name !== ".") return [name, ...sorted(lines)];
    const missing = [...inParts].filter((line) => !lines.includes(line)).map((line) => `without ${line}`);
    return [`. is ${parts.join(", ")}, and`, ...sorted(lines.filter((line) => !inParts.has(line))), ...sorted(missing)];
  });
  return `${sections.map(([head, ...lines]) => [head, ...lines.map((line) => `  ${line}`)].join("\n")).join("\n\n")}\n`;
}

function sorted(lines: readonly string[]): string[] {
  const nameOf = (line: string): string => line.split(" ").at(-1) ?? "";
  return [...lines].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

function kindOf(symbol: ts.Symbol, checker: ts.TypeChecker): string {
  const { flags } = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  if (flags & ts.SymbolFlags.Class) return "class";
  if (flags & ts.SymbolFlags.Function) return "function";
  return flags & ts.SymbolFlags.Value ? "value" : "type";
}

/** Every command with its arguments, and one line per option: names, choices and default, hidden names included. */
export function commandOptions(): string {
  const program = createProgram({ streams: { out: () => {}, err: () => {}, isTerminal: false }, exitCode: 0 });
  const commands = program.commands.flatMap(acting);
  const common = commands
    .map((command) => command.options.map(optionLine))
    .reduce((all, lines) => all.filter((line) => lines.includes(line)));
  const sections = commands.map((command) => {
    const args = command.registeredArguments.map((argument) =>
      argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
    );
    const lines = command.options.map(optionLine).filter((line) => !common.includes(line));
    return [[...namesOf(command, program), ...args].join(" "), ...lines.sort()];
  });
  const all = [["every command", ...[...common].sort()], ...sections];
  return `${all.map(([head, ...lines]) => [head, ...lines.map((line) => `  ${line}`)].join("\n")).join("\n\n")}\n`;
}

type Program = ReturnType<typeof createProgram>;

/** A command, or those that it only gathers. */
export function acting(command: Program): Program[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(acting);
}

function namesOf(command: Program, program: Program): string[] {
  return command.parent && command.parent !== program
    ? [...namesOf(command.parent, program), command.name()]
    : [command.name()];
}

function optionLine({
  flags,
  argChoices,
  defaultValue,
  mandatory,
  hidden,
}: ReturnType<typeof createProgram>["options"][number]): string {
  return [
    flags,
    ...(argChoices ? [argChoices.join("|")] : []),
    ...(defaultValue === undefined || defaultValue === false ? [] : [`= ${JSON.stringify(defaultValue)}`]),
    ...(mandatory ? ["needed"] : []),
    ...(hidden ? ["(former name)"] : []),
  ].join("  ");
}
