type Random = (below: number) => number;

const odd: readonly unknown[] = [
  ...[null, true, "", "x", "\u0000", "7", "__proto__", [], {}, [[]], { toString: 1 }, ["a", 1, null]],
  ...[0, -1, 0.5, 1e-320, -0.25, 2 ** 31, 2 ** 53, -(2 ** 53), 1e300, 65_536, 1_000_000],
];

/** Lines of JSON, or one value over several lines, with an odd value in the place of one of theirs, or under a new key. */
export function withOddValue(bytes: Uint8Array, random: Random): Uint8Array {
  const text = new TextDecoder().decode(bytes);
  const whole = parsed(text);
  if (whole !== undefined) return encoded(JSON.stringify(changed(whole, random)));
  const lines = text.split("\n");
  const at = random(lines.length);
  const line = parsed(lines[at] ?? "");
  if (line !== undefined) lines[at] = JSON.stringify(changed(line, random));
  return encoded(lines.join("\n"));
}

function changed(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random(12) === 0) return odd[random(odd.length)];
  if (Array.isArray(value)) {
    const at = random(value.length + 1);
    return [...value.slice(0, at), changed(value[at], random), ...value.slice(at + 1)];
  }
  const keys = Object.keys(value);
  if (random(8) === 0)
    return { ...value, [["length", "toString", "seed", "extra", ""][random(5)] ?? ""]: odd[random(odd.length)] };
  const chosen = keys[random(keys.length)];
  const entries = Object.entries(value).filter(([key]) => key !== chosen || random(6) > 0); // at times it is left out
  return Object.fromEntries(entries.map(([key, member]) => [key, key === chosen ? changed(member, random) : member]));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
