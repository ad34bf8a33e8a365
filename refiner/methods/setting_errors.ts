import type { z } from "zod";
import { OptionError } from "../../engine/index.ts";
import { expectationAt } from "./setting_expectations.ts";

/** What is wrong with one setting. */
export interface SettingProblem {
  /** Key of the setting; undefined where the settings as a whole are wrong. */
  readonly key: string | undefined;
  /** True for a key that no setting has. */
  readonly isUnknown: boolean;
  /** What was found, with the value: `batch is "12x"`, `element 2 of heads is -1`, `there is no setting bacth`; may be empty. */
  readonly finding: string;
  /** What would be right: `expected a whole number of at least 1`, `did you mean batch?`. */
  readonly remedy: string;
}

/** Settings that a schema refuses; `problems` says what is wrong with each. */
export class SettingsError extends OptionError {
  override name = "SettingsError";

  /** @param method - whose settings they are, such as `refine` */
  constructor(
    readonly method: string,
    readonly problems: readonly SettingProblem[],
  ) {
    super(settingsMessage(method, problems));
  }
}

/**
 * One line for all problems.
 *
 * @param place - where the value of a problem was given, such as `(--batch)`; empty for nowhere
 */
export function settingsMessage(
  method: string,
  problems: readonly SettingProblem[],
  place: (problem: SettingProblem) => string = () => "",
): string {
  const texts = problems.map((problem) => {
    const where = place(problem);
    if (problem.isUnknown) return `${where && `${where}: `}${problem.finding}; ${problem.remedy}`;
    return [`${problem.finding}${where && ` ${where}`}`, problem.remedy].filter((part) => part !== "").join(": ");
  });
  return `${method}: ${texts.join("; ")}`;
}

/**
 * Validates settings against a strict schema.
 *
 * @param method - whose settings they are, such as `refine`; it begins the error's message
 * @throws SettingsError that shows each wrong value with what was expected, and for an unknown key the nearest valid one
 */
export function parseConfig<T extends z.ZodObject>(schema: T, settings: unknown, method = "settings"): z.output<T> {
  const result = schema.safeParse(settings);
  if (result.success) return result.data;
  throw new SettingsError(
    method,
    result.error.issues.flatMap((issue) => problemsOf(issue, schema, settings)),
  );
}

/** Unknown keys that one message names; a file of something else may have very many. */
const mostUnknown = 10;

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodObject, settings: unknown): SettingProblem[] {
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(schema.shape);
    const rest = issue.keys.length - mostUnknown;
    const problems = issue.keys.slice(0, mostUnknown).map((key) => ({
      key,
      isUnknown: true,
      finding: `there is no setting ${key.slice(0, shownLength)}`,
      remedy: `did you mean ${nearestName(key.slice(0, shownLength), known)}?`,
    }));
    const more = {
      key: undefined,
      isUnknown: true,
      finding: `${rest} more are unknown`,
      remedy: "correct these first",
    };
    return rest > 0 ? [...problems, more] : problems;
  }
  const [first, second] = issue.path;
  // A refinement says what it expects itself: the schema cannot tell.
  const remedy = issue.code === "custom" ? issue.message : `expected ${expectationAt(schema, issue.path)}`;
  const value = shown(valueAt(settings, issue.path));
  if (first === undefined)
    return [
      { key: undefined, isUnknown: false, finding: issue.code === "custom" ? "" : `the settings are ${value}`, remedy },
    ];
  const element = typeof second === "number" ? `element ${second + 1} of ` : "";
  return [{ key: String(first), isUnknown: false, finding: `${element}${String(first)} is ${value}`, remedy }];
}

function valueAt(settings: unknown, path: readonly PropertyKey[]): unknown {
  let value = settings;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

/** Characters of a value that are shown; a list of a thousand blocks would hide the rest of the message. */
const shownLength = 80;

function shown(value: unknown): string {
  // JSON writes null for NaN and infinities, and refuses what it does not know.
  const isPlain = value === null || typeof value === "string" || typeof value === "object";
  const text = isPlain ? JSON.stringify(value) : String(value);
  return text.length > shownLength ? `${text.slice(0, shownLength)}…` : text;
}

/** The known name with the smallest edit distance (Levenshtein 1966). */
export function nearestName(name: string, known: readonly string[]): string {
  const distances = known.map((candidate) => ({
    candidate,
    distance: editDistance(name.toLowerCase(), candidate.toLowerCase()),
  }));
  return distances.reduce((best, next) => (next.distance < best.distance ? next : best), {
    candidate: "",
    distance: Number.POSITIVE_INFINITY,
  }).candidate;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
