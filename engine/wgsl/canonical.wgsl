// Functions whose results are the same on every adapter, for the reproducible mode. This text is rewritten as kernels are, but that
// products are not tested for underflow and `/` and `sqrt` stay those of the adapter: they only give a first estimate here.
// It is compiled for scalars and for vectors: F is f32, vec2f, vec3f or vec4f, and U, I, B are like it of u32, i32 and bool.
alias F = f32;
alias U = u32;
alias I = i32;
alias B = bool;
var<private> canonical_zero: u32; // 0, which no compiler knows

const canonical_magnitude = 0x7fffffffu;
const canonical_infinity = 0x7f800000u;
const canonical_sign = 0x80000000u;
const canonical_least = 25; // exponent field of 2^-102

// The value as it is: behind this, no compiler can join the operations on both sides.
fn canonical_kept(x: F) -> F { return bitcast<F>(bitcast<U>(x) ^ U(canonical_zero)); }

// A product as it is, or 0 below 2^-102, and behind the same wall. Then numbers stay multiples of 2^-125: those from 2^-102 on are, and
// so are sums of such numbers. None is subnormal, and it does not matter which adapters have subnormal numbers.
fn canonical_product(x: F) -> F {
  let bits = bitcast<I>(x);
  return bitcast<F>(select(I(0), bits, (bits & I(0x7fffffff)) >= I(i32(0x0c800000u | canonical_zero))));
}

// An operand of a matrix product, or 0 below 2^-51. Products of two such are 0 or at least 2^-102 without a test of their own, which
// would take as long as all the rest of an inner loop.
fn canonical_operand(x: F) -> F {
  let bits = bitcast<I>(x);
  return bitcast<F>(select(I(0), bits, (bits & I(0x7fffffff)) >= I(i32(0x26000000u | canonical_zero))));
}

// Whole numbers by halves: both are exact, the first stays so times 2^16, and the sum is rounded once, to nearest.
fn canonical_of_unsigned(x: U) -> F { return F(x >> U(16u)) * 65536.0 + F(x & U(0xffffu)); }

fn canonical_of_signed(x: I) -> F { return F(x >> U(16u)) * 65536.0 + F(x & I(0xffff)); }

fn canonical_is_nan(x: F) -> B { return (bitcast<U>(x) & U(canonical_magnitude)) > U(canonical_infinity); }

fn canonical_unknown() -> F { return bitcast<F>(U(0x7fc00000u | canonical_zero)); }

// The number of a sign bit, a field of the exponent and a significand of 24 bits; infinity or 0 where the field is beyond the range.
fn canonical_composed(sign: U, field: I, significand: U) -> F {
  let bits = (U(max(field, I(0))) << U(23u)) + (significand - U(0x800000u));
  let large = select(sign | bits, sign | U(canonical_infinity), field >= I(255));
  return bitcast<F>(select(large, U(0u), field < I(canonical_least)));
}

// A number of less than 2^22 rounded to a whole one, with 3 * 2^22 added, next to which numbers lie 1 apart; and that whole number.
fn canonical_near(x: F) -> F { return x + 12582912.0; }

fn canonical_whole(near: F) -> I { return bitcast<I>(near) - I(0x4b400000); }

// a / b rounded to nearest. The adapter's quotient of the significands, off by some units in the last place, gives a whole number q; the
// remainder N - q b, N being a with 23 or 24 zeros behind it, is small, so that 32 bits hold it exactly, and says how far q is off.
fn canonical_quotient(a: F, b: F) -> F {
  let aBits = bitcast<U>(a);
  let bBits = bitcast<U>(b);
  let aField = I((aBits >> U(23u)) & U(255u));
  let bField = I((bBits >> U(23u)) & U(255u));
  let x = (aBits & U(0x7fffffu)) | U(0x800000u);
  let y = (bBits & U(0x7fffffu)) | U(0x800000u);
  let isBelow = x < y;
  let zeros = select(U(23u), U(24u), isBelow);
  let estimate = F(bitcast<I>(x)) / F(bitcast<I>(y));
  // Its own significand is q, since it lies from 1/2 to 1 or from 1 to 2 where the exact one does.
  let near = clamp(estimate, select(F(1.0), F(0.5), isBelow), select(F(1.9999999), F(0.99999994), isBelow));
  var q = (bitcast<U>(near) & U(0x7fffffu)) | U(0x800000u);
  var rest = bitcast<I>((x << zeros) - q * y);
  let off = canonical_whole(canonical_near(F(rest) / F(bitcast<I>(y))));
  q = bitcast<U>(bitcast<I>(q) + off);
  rest = 2 * (rest - off * bitcast<I>(y));
  q = bitcast<U>(bitcast<I>(q) + select(I(0), I(1), rest > bitcast<I>(y)) - select(I(0), I(1), rest < -bitcast<I>(y)));
  let sign = (aBits ^ bBits) & U(canonical_sign);
  let field = aField - bField + I(127) - select(I(0), I(1), isBelow);
  let isZeroA = aField == I(0);
  let isZeroB = bField == I(0);
  let isLargeA = aField == I(255);
  let isLargeB = bField == I(255);
  var result = canonical_composed(sign, field, q);
  result = select(result, F(0.0), isZeroA | isLargeB);
  result = select(result, bitcast<F>(sign | U(canonical_infinity)), isLargeA | isZeroB);
  let isUnknown = (isZeroA & isZeroB) | (isLargeA & isLargeB) | canonical_is_nan(a) | canonical_is_nan(b);
  return select(result, canonical_unknown(), isUnknown);
}

// sqrt(x) rounded to nearest: s is the whole number next to sqrt(N) where N - s^2 lies between -s and s, and the adapter's estimate is
// off by few. N is the significand with 23 or 24 zeros behind it, so that the exponent left over is even.
fn canonical_root(x: F) -> F {
  let bits = bitcast<U>(x);
  let exponent = I(bits >> U(23u)) - I(127);
  let odd = U(exponent) & U(1u);
  let n = ((bits & U(0x7fffffu)) | U(0x800000u)) << (U(23u) + odd);
  let value = bitcast<F>((bits & U(0x7fffffu)) | (U(0x3f800000u) + (odd << U(23u))));
  var s = (bitcast<U>(clamp(sqrt(value), F(1.0), F(1.9999999))) & U(0x7fffffu)) | U(0x800000u);
  var rest = bitcast<I>(n - s * s);
  s = bitcast<U>(bitcast<I>(s) + canonical_whole(canonical_near(F(rest) / F(bitcast<I>(2u * s)))));
  rest = bitcast<I>(n - s * s);
  s = bitcast<U>(bitcast<I>(s) + select(I(0), I(1), rest > bitcast<I>(s)) - select(I(0), I(1), rest <= -bitcast<I>(s)));
  var result = canonical_composed(U(0u), (exponent - I(odd)) / 2 + I(127), s);
  result = select(result, canonical_unknown(), (bits & U(canonical_sign)) != U(0u));
  result = select(result, F(0.0), (bits & U(canonical_infinity)) == U(0u));
  result = select(result, x, bits == U(canonical_infinity));
  return select(result, canonical_unknown(), canonical_is_nan(x));
}

fn canonical_inverse_root(x: F) -> F { return canonical_quotient(F(1.0), canonical_root(x)); }

// 2^n (1 + r + r^2 q(r)) for |r| < 0.35, q of least maximum error (own, float64), and n from -125 to 128, so that the exponent's field
// stays from 1 to 255; infinity where it is 255.
fn canonical_scaled_exp(n: I, r: F) -> F {
  let q = ((((1.9890991e-4 * r + 1.3933650e-3) * r + 8.3333109e-3) * r + 4.1666465e-2) * r + 0.16666667) * r + 0.5;
  let p = 1.0 + (r + r * r * q);
  let bits = min(bitcast<I>(p) + (n << U(23u)), I(0x7f800000));
  return bitcast<F>(select(bits, I(0), bits < I(canonical_least << 23u)));
}

// e^(x + more): n is the whole number next to x / ln 2, and r = x - n ln 2 with ln 2 in two parts, the first so short that its product
// with n is exact. From 88.73 on the result is infinite.
fn canonical_exp_of(x: F, more: F) -> F {
  let near = clamp(x, F(-80.0), F(88.9));
  let turns = canonical_near(near * 1.4426950);
  let n = turns - 12582912.0;
  let r = (near - n * 0.693359375) - (n * -2.1219444e-4 - more);
  return select(canonical_scaled_exp(canonical_whole(turns), r), canonical_unknown(), canonical_is_nan(x));
}

fn canonical_exp(x: F) -> F { return canonical_exp_of(x, F(0.0)); }

// 2^x = 2^n e^(f ln 2), where n is a whole number next to x and the fraction f is exact.
fn canonical_exp2(x: F) -> F {
  let near = clamp(x, F(-110.0), F(128.4));
  let turns = canonical_near(near);
  let r = (near - (turns - 12582912.0)) * 0.69314718;
  return select(canonical_scaled_exp(canonical_whole(turns), r), canonical_unknown(), canonical_is_nan(x));
}

// x = 2^e (1 + f) with 1 + f from sqrt(1/2) to sqrt(2): the bits of sqrt(1/2) taken off leave e in the field of the exponent.
fn canonical_exponent(x: F) -> I { return (bitcast<I>(x) - I(0x3f3504f3)) >> U(23u); }

fn canonical_fraction(x: F, exponent: I) -> F { return bitcast<F>(bitcast<I>(x) - (exponent << U(23u))) - 1.0; }

// ln(1 + f) = f - f^2/2 + s (f^2/2 + R), s = f / (2 + f), R = 2/3 s^2 + 2/5 s^4 + …: from ln((1 + s) / (1 - s)). This is the last part.
fn canonical_log_tail(f: F, half: F) -> F {
  let s = canonical_quotient(f, 2.0 + f);
  let z = s * s;
  let rest = z * (0.66666667 + z * (0.4 + z * (0.28571429 + z * (0.22222222 + z * 0.18181818))));
  return s * (half + rest);
}

// Infinity, minus infinity of 0 (subnormal numbers are 0), NaN of what is negative or NaN; else the value.
fn canonical_log_of(x: F, value: F) -> F {
  let bits = bitcast<U>(x);
  let isZero = (bits & U(canonical_infinity)) == U(0u);
  var result = select(value, x, bits == U(canonical_infinity));
  result = select(result, canonical_unknown(), ((bits & U(canonical_sign)) != U(0u)) | canonical_is_nan(x));
  return select(result, bitcast<F>(U(0xff800000u | canonical_zero)), isZero);
}

fn canonical_log(x: F) -> F {
  let exponent = canonical_exponent(x);
  let e = F(exponent);
  let f = canonical_fraction(x, exponent);
  let half = 0.5 * f * f;
  return canonical_log_of(x, e * 0.693359375 - ((half - (canonical_log_tail(f, half) + e * -2.1219444e-4)) - f));
}

// The upper 12 bits of a number; the rest has 12 bits, too, so that products of such parts are exact.
fn canonical_upper(x: F) -> F { return bitcast<F>(bitcast<U>(x) & U(0xfffff000u)); }

// a b - product, exactly (Dekker 1971).
fn canonical_rest_of_product(a: F, b: F, product: F) -> F {
  let aUpper = canonical_upper(a);
  let bUpper = canonical_upper(b);
  let aLower = a - aUpper;
  let bLower = b - bUpper;
  return ((aUpper * bUpper - product) + aUpper * bLower + aLower * bUpper) + aLower * bLower;
}

// a^b for a >= 0 as e^(b ln a), with ln a and its product with b as sums of two numbers.
fn canonical_pow(a: F, b: F) -> F {
  let exponent = canonical_exponent(a);
  let e = F(exponent);
  let f = canonical_fraction(a, exponent);
  let square = f * f;
  let half = 0.5 * square;
  let upper = e * 0.693359375;
  let first = upper + f;
  let second = first - half;
  let errors = (f - (first - upper)) + ((first - second) - half);
  let small = canonical_log_tail(f, half) + e * -2.1219444e-4 - 0.5 * canonical_rest_of_product(f, f, square);
  let lower = errors + small;
  let logarithm = second + lower;
  let left = lower - (logarithm - second);
  let y = b * logarithm;
  let isNear = abs(y) < F(200.0);
  let more = select(F(0.0), canonical_rest_of_product(b, logarithm, y) + b * left, isNear);
  let whole = canonical_log_of(a, y); // infinite, or unknown, as the logarithm is
  let isSpecial = ((bitcast<U>(a) & U(canonical_infinity)) == U(0u)) | (bitcast<U>(a) >= U(canonical_infinity));
  let result = canonical_exp_of(select(y, whole * b, isSpecial), more);
  return select(result, F(1.0), b == F(0.0));
}

// Below 0.625 an odd polynomial of least maximum error (own, float64), else 1 - 2 / (e^(2 |x|) + 1).
fn canonical_tanh(x: F) -> F {
  let size = abs(x);
  let z = x * x;
  let p = ((((2.2695017e-3 * z - 8.3231870e-3) * z + 2.1762503e-2) * z - 5.3958462e-2) * z + 0.13333300) * z - 0.33333333;
  let inner = x + x * z * p;
  let outer = sign(x) * (1.0 - canonical_quotient(F(2.0), canonical_exp(min(2.0 * size, F(30.0))) + 1.0));
  return select(select(outer, inner, size < F(0.625)), canonical_unknown(), canonical_is_nan(x));
}

fn canonical_mix(a: F, b: F, share: F) -> F {
  return canonical_product(a * (1.0 - share)) + canonical_product(b * share);
}
