type Settings = Readonly<Record<string, unknown>>;

/** A preset in words: every setting that it has, as it is used; where that was given otherwise, with the preset's own value. */
export function presetText(name: string, sets: Settings, used: Settings): string {
  const settings = Object.entries(sets).map(([key, value]) => {
    const [own, now] = [shown(value), shown(Object.hasOwn(used, key) ? used[key] : value)];
    return `${key} ${now}${now === own ? "" : ` (preset: ${own})`}`;
  });
  return `preset ${name}: ${settings.length > 0 ? settings.join(", ") : "the defaults"}`;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.join("/");
  return value === undefined ? "none" : String(value);
}
