import { WgslError } from "./wgsl_error.ts";

/** A word, a number or a sign of a text. */
export interface Token {
  readonly kind: "word" | "number" | "sign" | "end";
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

// `>` stands alone always, since `array<vec2<f32>>` ends with two of them; the parser of expressions joins those that touch.
const pattern =
  /(?<space>\s+|\/\/[^\n]*)|(?<word>[A-Za-z_][A-Za-z0-9_]*)|(?<number>0[xX][0-9a-fA-F]*(?:\.[0-9a-fA-F]*)?(?:[pP][+-]?[0-9]+[fh]?|[iu])?|(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?[iufh]?)|(?<sign>->|\+\+|--|&&|\|\||<<=|<<|[-+*/%&|^<=!]=|[-+*/%&|^<>=!~(){}[\],;:.@_])/gy;

/**
 * The tokens of a text, without spaces and comments, and one of kind `end`.
 *
 * @throws WgslError at what is no token of the language, block comments included
 */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  while (at < text.length) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (!match?.groups) throw new WgslError(line, `${JSON.stringify(text.slice(at, at + 10))} is no part of WGSL here`);
    const { space, word, number } = match.groups;
    const [found] = match;
    const end = at + found.length;
    if (space === undefined) {
      const kind = word !== undefined ? "word" : number !== undefined ? "number" : "sign";
      tokens.push({ kind, text: found, start: at, end, line });
    } else {
      line += found.split("\n").length - 1;
    }
    at = end;
  }
  tokens.push({ kind: "end", text: "the end", start: at, end: at, line });
  return tokens;
}
