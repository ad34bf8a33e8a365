/**
 * Float64 loops: `x` `[images, rows, columns, in]`, `weight` `[out, 3, 3, in]`, zeros around the images; channels last, as a flat array.
 */
export function conv2d(x, weight) {
  const [images, rows, columns, channels] = x.shape;
  const [outputs] = weight.shape;
  const y = new Float64Array(images * rows * columns * outputs);
  for (let place = 0; place < images * rows * columns; place++) {
    const [row, column] = [Math.floor(place / columns) % rows, place % columns];
    for (let tap = 0; tap < 9; tap++) {
      const [down, aside] = [Math.floor(tap / 3) - 1, (tap % 3) - 1];
      if (row + down < 0 || row + down >= rows || column + aside < 0 || column + aside >= columns) continue;
      const from = (place + down * columns + aside) * channels;
      for (let o = 0; o < outputs; o++) {
        let sum = 0;
        for (let c = 0; c < channels; c++) sum += x.data[from + c] * weight.data[(o * 9 + tap) * channels + c];
        y[place * outputs + o] += sum;
      }
    }
  }
  return y;
}

/** The same array with its axes in another order: axis i of the result is axis `axes[i]` of the given one. */
export function permuted({ shape, data }, axes) {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((size, length) => size * length, 1));
  const lengths = axes.map((axis) => shape[axis]);
  const moved = new Float32Array(data.length);
  const [a, b, c, d] = lengths;
  const [sa, sb, sc, sd] = axes.map((axis) => strides[axis]);
  let at = 0;
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      for (let k = 0; k < c; k++) {
        for (let l = 0; l < d; l++) moved[at++] = data[i * sa + j * sb + k * sc + l * sd];
      }
    }
  }
  return { shape: lengths, data: moved };
}

/** Inputs of the row with channels before rows and columns. */
export function channelsFirst({ x, weight }) {
  return { x: permuted(x, [0, 3, 1, 2]), weight: permuted(weight, [0, 3, 1, 2]) };
}

/** A contestant whose result has channels first, in our order. */
export function channelsLast(contestant, { x, weight }) {
  const [images, rows, columns] = x.shape;
  const shape = [images, weight.shape[0], rows, columns];
  return {
    ...contestant,
    result: async () => permuted({ shape, data: await contestant.result() }, [0, 2, 3, 1]).data,
  };
}
