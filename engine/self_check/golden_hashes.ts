/**
 * Bits of the results of `checkHashes` on a reproducible device: equal on lavapipe of Mesa 25.0 and 26.1 and on SwiftShader 5.0. A
 * change of the mode's orders or functions changes them; `mimrefine doctor --reproducible --json` prints those of an adapter.
 */
export const goldenHashes: Readonly<Record<string, string>> = {
  "add, every exponent": "3e3f8f2becfc62a0",
  "mul, every exponent": "029fd408e8a3ba02",
  "div, every exponent": "e283342c656f5856",
  "exp, every exponent": "e731435887bbde56",
  "log, every exponent": "c3260e5e2ba85bce",
  "sqrt, every exponent": "d6e9f28b0700ae11",
  "rsqrt, every exponent": "2339a211e493a76b",
  "tanh, every exponent": "2300520f7fb89d70",
  "pow, every exponent": "a5afa38241a42a07",
  "matmul, product": "1afc27d3e1af709a",
  "linear, gelu(x Wᵀ + b) + r": "3eae369ffaa1744e",
  "layer_norm, y": "a2e4aa9a0a969c0d",
  "softmax, y": "22ff1fa735594d99",
  "attention, y": "32015e01dfaccae4",
  "cross_entropy, loss": "aa19eac85a4fe3e9",
  "cross_entropy, gradient": "8005a9876023b7e6",
  "nearest, indices": "6a6b4c6aa992b8e2",
  "gelu, y": "926c28a11e777903",
  "l2_normalize, y": "476138fd7dd25330",
  "sum, total": "2dfe17e8ad553afe",
  "gather, y": "0ba684172fb2f587",
  "random, y": "447e810e6600db69",
  "count_non_finite, count": "ea2845900b5856c9",
};
