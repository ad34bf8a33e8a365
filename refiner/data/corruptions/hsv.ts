type Triple = readonly [number, number, number];

/** Hue (turns), saturation and value of a colour on the scale 0 … 1, in the order of scikit-image's sums. */
export function hsvOf([red, green, blue]: Triple): Triple {
  const value = Math.max(red, green, blue);
  const spread = value - Math.min(red, green, blue);
  if (spread === 0) return [0, 0, value];
  let sixths = (green - blue) / spread;
  if (green === value) sixths = 2 + (blue - red) / spread;
  if (blue === value) sixths = 4 + (red - green) / spread;
  const turns = sixths / 6;
  return [turns - Math.floor(turns), spread / value, value];
}

/** The colour of a hue (turns), saturation and value. */
export function rgbOfHsv([hue, saturation, value]: Triple): Triple {
  const sector = Math.floor(hue * 6);
  const part = hue * 6 - sector;
  const p = value * (1 - saturation);
  const q = value * (1 - part * saturation);
  const t = value * (1 - (1 - part) * saturation);
  const sectors: readonly Triple[] = [
    [value, t, p],
    [q, value, p],
    [p, value, t],
    [p, q, value],
    [t, p, value],
    [value, p, q],
  ];
  return sectors[sector % 6] ?? [value, t, p];
}
