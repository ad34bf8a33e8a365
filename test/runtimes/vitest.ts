// Stands in for vitest where that cannot run (Deno, browsers): the part of its interface that the engine's tests use.
import { chai, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

export const expect = chai.expect;

type Body = (...values: unknown[]) => unknown;
type Hook = () => unknown;

interface Suite {
  readonly title: string;
  readonly before: Hook[];
  readonly beforeEach: Hook[];
  readonly afterEach: Hook[];
  readonly after: Hook[];
  readonly children: (Suite | Case)[];
}

interface Case {
  readonly title: string;
  readonly run: () => unknown;
  readonly isSkipped: boolean;
}

/** Outcome of the tests of one file. */
export interface Tally {
  passed: number;
  skipped: number;
  readonly failed: { readonly title: string; readonly message: string }[];
}

function newSuite(title: string): Suite {
  return { title, before: [], beforeEach: [], afterEach: [], after: [], children: [] };
}

let current = newSuite("");

export const beforeAll = (hook: Hook): number => current.before.push(hook);
export const beforeEach = (hook: Hook): number => current.beforeEach.push(hook);
export const afterEach = (hook: Hook): number => current.afterEach.push(hook);
export const afterAll = (hook: Hook): number => current.after.push(hook);

/** Thrown by a test that finds out while it runs that it cannot. */
export class Skipped extends Error {}

/** What a test body receives after the values of its row. */
const context = {
  skip(note?: string): never {
    throw new Skipped(note);
  },
};

/** Options may stand before the body; time limits are those of the runner. */
function bodyOf(args: readonly unknown[]): Body {
  const body = args.find((value): value is Body => typeof value === "function");
  if (!body) throw new Error("a test without a body");
  return body;
}

function rowsOf(table: readonly unknown[]): (readonly unknown[])[] {
  return table.map((value) => (Array.isArray(value) ? value : [value]));
}

/** Puts the values of a row into a title: `%s` and the like in turn, `$name` by name. */
function titleOf(title: string, row: readonly unknown[]): string {
  let next = 0;
  return title
    .replace(/%[sdijo]/g, () => String(row[next++]))
    .replace(/\$(\w+)/g, (_, name: string) => {
      const [first] = row;
      return first && typeof first === "object" ? String(Reflect.get(first, name)) : `$${name}`;
    });
}

function addTest(isSkipped: boolean) {
  const add = (title: string, ...args: unknown[]): void => {
    const body = bodyOf(args);
    current.children.push({ title, run: () => body(context), isSkipped });
  };
  const each =
    (table: readonly unknown[]) =>
    (title: string, ...args: unknown[]): void => {
      const body = bodyOf(args);
      for (const row of rowsOf(table))
        current.children.push({ title: titleOf(title, row), run: () => body(...row, context), isSkipped });
    };
  return Object.assign(add, { each });
}

export const it = Object.assign(addTest(false), {
  skip: addTest(true),
  skipIf: (condition: boolean) => addTest(condition),
});
export const test = it;

function addSuite(title: string, body: () => void): void {
  const outer = current;
  current = newSuite(title);
  outer.children.push(current);
  body();
  current = outer;
}

export const describe = Object.assign((title: string, ...args: unknown[]) => addSuite(title, () => bodyOf(args)()), {
  each:
    (table: readonly unknown[]) =>
    (title: string, ...args: unknown[]): void => {
      for (const row of rowsOf(table)) addSuite(titleOf(title, row), () => bodyOf(args)(...row));
    },
});

/** Loads a test file and runs what it declared. */
export async function runFile(load: () => Promise<unknown>): Promise<Tally> {
  const tally: Tally = { passed: 0, skipped: 0, failed: [] };
  current = newSuite("");
  const file = current;
  try {
    await load();
    await runSuite(file, "", [], tally);
  } catch (error) {
    tally.failed.push({ title: "loading", message: describeError(error) });
  }
  return tally;
}

async function runSuite(suite: Suite, path: string, outer: readonly Suite[], tally: Tally): Promise<void> {
  const line = [...outer, suite];
  for (const hook of suite.before) await hook();
  for (const child of suite.children) {
    const title = path ? `${path} > ${child.title}` : child.title;
    if ("children" in child) await runSuite(child, title, line, tally);
    else if (child.isSkipped) tally.skipped++;
    else await runCase(child, title, line, tally);
  }
  for (const hook of suite.after.toReversed()) await hook();
}

async function runCase({ run }: Case, title: string, line: readonly Suite[], tally: Tally): Promise<void> {
  try {
    for (const hook of line.flatMap((suite) => suite.beforeEach)) await hook();
    await run();
    tally.passed++;
  } catch (error) {
    if (error instanceof Skipped) tally.skipped++;
    else tally.failed.push({ title, message: describeError(error) });
  }
  for (const hook of line.flatMap((suite) => suite.afterEach)) await hook();
}

function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `; ${error.cause.message}` : "";
  return `${error.message}${cause}`.slice(0, 1500);
}
