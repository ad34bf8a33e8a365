import fc from "fast-check";
import { expect, it } from "vitest";
import { averagePool2d, cast, maxPool2d, OptionError, ShapeError, sum } from "../../../engine/index.ts";
import { checkGradient, checkOperation, toleranceOf, valuesOf } from "../../../engine/testing/index.ts";
import { testDevice } from "../../device.ts";
import { operand } from "../../operand.ts";

const device = await testDevice({ canaries: true });
const pair = (...lengths: number[]) => fc.tuple(fc.constantFrom(...lengths), fc.constantFrom(...lengths));
const cases = fc
  .record({
    images: fc.constantFrom(1, 2),
    sources: pair(1, 2, 5, 7, 8),
    channels: fc.constantFrom(1, 3, 4, 8),
    window: pair(1, 2, 3),
    stride: pair(1, 2, 3),
    padding: pair(0, 0, 1),
    seed: fc.integer(),
  })
  .filter(({ sources, window, padding }) =>
    [0, 1].every((i) => {
      const [source = 0, size = 0, zeros = 0] = [sources[i], window[i], padding[i]];
      return 2 * zeros <= size && source + 2 * zeros >= size;
    }),
  );
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;
const operands = ({ images, sources, channels, seed }: Case) => {
  const shape = [images, ...sources, channels];
  return {
    x: {
      data: valuesOf(
        "normal",
        seed,
        shape.reduce((size, length) => size * length, 1),
      ),
      shape,
    },
  };
};

/** The same order at equal distances: a step of a difference may not change which of two is the maximum. */
const spread = (drawn: Case) => {
  const { data, shape } = operands(drawn).x;
  const places = Array.from(data.keys()).sort((a, b) => (data[a] ?? 0) - (data[b] ?? 0));
  const ranks = new Float32Array(data.length);
  for (const [rank, place] of places.entries()) ranks[place] = rank / 16;
  return { x: { data: ranks, shape } };
};

function reference(x: ArrayLike<number>, drawn: Case, combine: (inside: readonly number[]) => number): Float64Array {
  const { images, sources, channels, window, stride, padding } = drawn;
  const along = (i: 0 | 1) => Math.floor((sources[i] + 2 * padding[i] - window[i]) / stride[i]) + 1;
  const [rows, columns] = [along(0), along(1)];
  return Float64Array.from({ length: images * rows * columns * channels }, (_, at) => {
    const c = at % channels;
    const column = Math.floor(at / channels) % columns;
    const row = Math.floor(at / channels / columns) % rows;
    const image = Math.floor(at / channels / columns / rows);
    const inside: number[] = [];
    for (let i = 0; i < window[0]; i++) {
      for (let j = 0; j < window[1]; j++) {
        const [down, aside] = [row * stride[0] - padding[0] + i, column * stride[1] - padding[1] + j];
        if (down < 0 || aside < 0 || down >= sources[0] || aside >= sources[1]) continue;
        inside.push(x[((image * sources[0] + down) * sources[1] + aside) * channels + c] ?? Number.NaN);
      }
    }
    return combine(inside);
  });
}

const means = (x: ArrayLike<number>, drawn: Case) =>
  reference(
    x,
    drawn,
    (inside) => inside.reduce((total, value) => total + value, 0) / drawn.window[0] / drawn.window[1],
  );
const maxima = (x: ArrayLike<number>, drawn: Case) => reference(x, drawn, (inside) => Math.max(...inside));

it("both pools agree with float64", async () => {
  await checkOperation(device, {
    cases,
    operands,
    run: (given, drawn) => ({
      mean: averagePool2d(operand(given, "x"), drawn),
      max: maxPool2d(operand(given, "x"), drawn),
    }),
    reference: ({ x = new Float64Array() }, drawn) => ({ mean: means(x, drawn), max: maxima(x, drawn) }),
    bound: (_, result) => (result === "max" ? 0 : toleranceOf(10)), // up to nine values and a product
    floor: 1,
    runs: 25,
  });
});

it.each([
  ["averagePool2d", averagePool2d, means],
  ["maxPool2d", maxPool2d, maxima],
] as const)("%s has the gradient of finite differences", async (_name, pool, expected) => {
  await checkGradient(device, {
    cases,
    operands: spread,
    run: (given, drawn) => pool(operand(given, "x"), drawn),
    reference: ({ x = new Float64Array() }, drawn) => expected(x, drawn),
    wrt: ["x"],
    runs: 12,
  });
});

it("the first of equal elements receives the gradient of a maximum", async () => {
  const x = device.tensor([2, 2, 1, 3, 0, 3], [1, 1, 6, 1]);
  const y = maxPool2d(x, { window: [1, 3] });
  const [dx = x] = y.program.gradients(sum(y), [x]);
  expect([...(await dx.read())]).toEqual([1, 0, 0, 1, 0, 0]);
});

it.skipIf(!device.features.has("shader-f16"))("computes on half precision", async () => {
  const x = cast(device.tensor([1, 2, 3, 4], [1, 2, 2, 1]), "f16");
  expect([...(await cast(averagePool2d(x, { window: 2 }), "f32").read())]).toEqual([2.5]);
  expect([...(await cast(maxPool2d(x, { window: 2 }), "f32").read())]).toEqual([4]);
});

it("names what does not fit", () => {
  const x = device.zeros([1, 4, 4, 2]);
  expect(() => maxPool2d(x, { window: 5 })).toThrow(
    new ShapeError("maxPool2d: a window of 5 does not fit into 4 places with padding 0; use a smaller one"),
  );
  expect(() => averagePool2d(x, { window: 2, padding: 2 })).toThrow(
    new OptionError("averagePool2d: padding 2 is more than half of the window 2; a window would see nothing else"),
  );
});
