export interface ConvSizes {
  readonly images: number;
  readonly sources: readonly [number, number];
  readonly taps: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly groups: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Rows and columns of the result. */
export function convPlaces({ sources, taps, stride, dilation, padding }: ConvSizes): [number, number] {
  const along = (axis: 0 | 1): number =>
    Math.floor((sources[axis] + 2 * padding[axis] - dilation[axis] * (taps[axis] - 1) - 1) / stride[axis]) + 1;
  return [along(0), along(1)];
}

/** y[b, p, o] = bias[o] + Σ x[b, p stride + tap dilation - padding, c] w[o, tap, c] over taps inside and channels of the group. */
export function convReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  sizes: ConvSizes,
): Float64Array {
  const { images, sources, taps, stride, dilation, padding, groups, inputs, outputs } = sizes;
  const [rows, columns] = convPlaces(sizes);
  const [ins, outs] = [inputs / groups, outputs / groups];
  const y = new Float64Array(images * rows * columns * outputs);
  for (let i = 0; i < y.length; i++) {
    const o = i % outputs;
    const column = Math.floor(i / outputs) % columns;
    const row = Math.floor(i / outputs / columns) % rows;
    const image = Math.floor(i / outputs / columns / rows);
    let sum = bias[o] ?? 0;
    for (let tap = 0; tap < taps[0] * taps[1]; tap++) {
      const down = row * stride[0] + Math.floor(tap / taps[1]) * dilation[0] - padding[0];
      const aside = column * stride[1] + (tap % taps[1]) * dilation[1] - padding[1];
      if (down < 0 || down >= sources[0] || aside < 0 || aside >= sources[1]) continue;
      for (let c = 0; c < ins; c++) {
        const at = ((image * sources[0] + down) * sources[1] + aside) * inputs + Math.floor(o / outs) * ins + c;
        sum += (x[at] ?? 0) * (weight[(o * taps[0] * taps[1] + tap) * ins + c] ?? 0);
      }
    }
    y[i] = sum;
  }
  return y;
}
