/** A preset in words: every setting that it begins with. */
export function presetText(name: string, sets: Readonly<Record<string, unknown>>): string {
  const settings = Object.entries(sets).map(([key, value]) => `${key} ${shown(value)}`);
  return `preset ${name}: ${settings.length > 0 ? settings.join(", ") : "the defaults"}`;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.join("/");
  return value === undefined ? "none" : String(value);
}
