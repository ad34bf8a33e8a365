/** One extended box blur of three: the weight of whole pixels and of the two at the ends, in units of 2⁻²⁴. */
export interface BoxBlur {
  /** Whole pixels on either side. */
  readonly radius: number;
  readonly innerWeight: number;
  readonly edgeWeight: number;
}

/**
 * The box whose threefold use has the variance of a Gaussian (Gwosdek et al., "Theoretical foundations of Gaussian
 * convolution by extended box filtering", SSVM 2011), in the fixed-point numbers of Pillow 9.4.
 *
 * @param sigmaPixels - standard deviation of the Gaussian
 */
export function boxBlurFor(sigmaPixels: number): BoxBlur {
  const variance = sigmaPixels ** 2 / 3;
  const whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const numerator = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
  const radius = Math.fround(whole + numerator / (6 * (variance - (whole + 1) ** 2)));
  const innerWeight = Math.floor(Math.fround(2 ** 24 / Math.fround(radius * 2 + 1)));
  const pixels = Math.floor(radius);
  return { radius: pixels, innerWeight, edgeWeight: Math.floor((2 ** 24 - (2 * pixels + 1) * innerWeight) / 2) };
}
