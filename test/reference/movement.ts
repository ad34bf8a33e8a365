/** Row-major values with their shape; the form of all references. */
export interface Grid {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Builds a tensor by asking for the value at each coordinate. */
export function build(shape: readonly number[], value: (at: readonly number[]) => number): Grid {
  const data: number[] = [];
  const visit = (at: number[]) => {
    const length = shape[at.length];
    if (length === undefined) data.push(value(at));
    else for (let i = 0; i < length; i++) visit([...at, i]);
  };
  visit([]);
  return { shape, data };
}

/** Value at a coordinate. */
export function valueAt({ shape, data }: Grid, at: readonly number[]): number {
  const value = data[at.reduce((index, i, axis) => index * (shape[axis] ?? 1) + i, 0)];
  if (value === undefined) throw new RangeError(`${at.join()} is outside ${shape.join()}`);
  return value;
}

export function permuteReference(x: Grid, axes: readonly number[]): Grid {
  const shape = axes.map((axis) => x.shape[axis] ?? 1);
  return build(shape, (at) => {
    const from: number[] = [];
    for (const [i, axis] of axes.entries()) from[axis] = at[i] ?? 0;
    return valueAt(x, from);
  });
}

export function sliceReference(x: Grid, box: readonly (readonly [number, number])[]): Grid {
  const shape = box.map(([from, to]) => to - from);
  return build(shape, (at) =>
    valueAt(
      x,
      at.map((i, axis) => i + (box[axis]?.[0] ?? 0)),
    ),
  );
}

/** The box of zeros of `shape` with `x` inside: the gradient of a slice. */
export function pasteReference(x: Grid, shape: readonly number[], box: readonly (readonly [number, number])[]): Grid {
  return build(shape, (at) => {
    const inside = at.every((i, axis) => i >= (box[axis]?.[0] ?? 0) && i < (box[axis]?.[1] ?? 0));
    return inside
      ? valueAt(
          x,
          at.map((i, axis) => i - (box[axis]?.[0] ?? 0)),
        )
      : 0;
  });
}

export function concatReference(tensors: readonly Grid[], axis: number): Grid {
  const [first] = tensors;
  const total = tensors.reduce((sum, x) => sum + (x.shape[axis] ?? 0), 0);
  const shape = (first?.shape ?? []).map((length, i) => (i === axis ? total : length));
  return build(shape, (at) => {
    let rest = at[axis] ?? 0;
    for (const x of tensors) {
      const length = x.shape[axis] ?? 0;
      if (rest < length) return valueAt(x, at.with(axis, rest));
      rest -= length;
    }
    throw new RangeError("concatReference");
  });
}
