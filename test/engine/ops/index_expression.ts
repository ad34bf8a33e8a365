/** Values of the names of an expression; conditions are 0 or 1. */
export type Names = Readonly<Record<string, number>>;

type Evaluation = (names: Names) => number;

const operators: readonly Readonly<Record<string, (a: number, b: number) => number>>[] = [
  { "&&": (a, b) => a & b },
  { "==": (a, b) => Number(a === b), "<=": (a, b) => Number(a <= b), "<": (a, b) => Number(a < b) },
  { "+": (a, b) => a + b },
  { "*": (a, b) => a * b, "/": (a, b) => Math.floor(a / b), "%": (a, b) => a % b },
];

const functions: Readonly<Record<string, (...values: number[]) => number>> = {
  min: Math.min,
  select: (no = 0, yes = 0, condition = 0) => (condition ? yes : no),
};

/**
 * A WGSL expression of unsigned numbers as a function: + * / % == <= < && select min, names and literals. There is no
 * subtraction, so that nothing can fall below 0; a value of 2^32 or more is an error, as it would wrap in the kernel.
 */
export function expression(text: string): Evaluation {
  const tokens = text.match(/[A-Za-z_][\w.]*|\d+|&&|==|<=|[-+*/%()<,]/g) ?? [];
  if (tokens.join("") !== text.replace(/\s/g, "")) throw new Error(`not an index expression: ${text}`);
  let at = 0;
  const take = (wanted: string): boolean => tokens[at] === wanted && at++ >= 0;
  const expect = (wanted: string): void => {
    if (!take(wanted)) throw new Error(`expected ${wanted} at token ${at} of ${text}`);
  };
  const call = (name: string): Evaluation => {
    const values: Evaluation[] = [];
    do values.push(level(0));
    while (take(","));
    expect(")");
    const apply = functions[name];
    if (!apply) throw new Error(`unknown function ${name} in ${text}`);
    return (names) => apply(...values.map((value) => value(names)));
  };
  const primary = (): Evaluation => {
    const token = tokens[at++] ?? "";
    if (/^\d/.test(token)) return () => Number(token);
    if (token === "(") {
      const inner = level(0);
      expect(")");
      return inner;
    }
    if (take("(")) return call(token);
    return (names) => {
      const value = names[token];
      if (value === undefined) throw new Error(`${text}: no value of ${token}`);
      return value;
    };
  };
  const level = (depth: number): Evaluation => {
    const table = operators[depth];
    if (!table) return primary();
    let left = level(depth + 1);
    for (let apply = table[tokens[at] ?? ""]; apply; apply = table[tokens[at] ?? ""]) {
      at++;
      const [first, second, operator] = [left, level(depth + 1), apply];
      left = (names) => operator(first(names), second(names));
    }
    return left;
  };
  const whole = level(0);
  if (at !== tokens.length) throw new Error(`token ${at} of ${text} was not expected`);
  return (names) => {
    const value = whole(names);
    if (!(value < 2 ** 32)) throw new Error(`${text} is ${value}, beyond 32 bits`);
    return value;
  };
}
