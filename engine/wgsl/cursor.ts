import { type Token, tokensOf } from "./lexer.ts";
import type { FunctionDeclaration, Type, ValueDeclaration } from "./syntax.ts";
import { WgslError } from "./wgsl_error.ts";

/** What a name at the level of the module stands for. */
export type Meaning =
  | { readonly kind: "value"; readonly declaration: ValueDeclaration }
  | { readonly kind: "type"; readonly type: Type }
  | { readonly kind: "function"; readonly declaration: FunctionDeclaration };

/** Where the parser stands in the tokens, and what names mean there. */
export class Cursor {
  readonly tokens: readonly Token[];
  at = 0;
  #scopes: Map<string, ValueDeclaration>[] = [];

  /** @param global - the meaning of a name of the module, which may stand further down in the text */
  constructor(
    readonly text: string,
    readonly global: (name: string) => Meaning | undefined,
  ) {
    this.tokens = tokensOf(text);
  }

  peek(ahead = 0): Token {
    const token = this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
    if (!token) throw new WgslError(1, "the text has no end");
    return token;
  }

  next(): Token {
    const token = this.peek();
    this.at++;
    return token;
  }

  is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && token.kind !== "end";
  }

  accept(text: string): boolean {
    const isThere = this.is(text);
    if (isThere) this.at++;
    return isThere;
  }

  expect(text: string): Token {
    if (!this.is(text)) throw this.error(`expected ${text} and found ${this.peek().text}`);
    return this.next();
  }

  word(): Token {
    if (this.peek().kind !== "word") throw this.error(`expected a name and found ${this.peek().text}`);
    return this.next();
  }

  /** Of the token before the next one. */
  get end(): number {
    return this.tokens[this.at - 1]?.end ?? 0;
  }

  error(reason: string, token = this.peek()): WgslError {
    return new WgslError(token.line, reason);
  }

  /** Parses with names of its own, which end with it. */
  within<T>(parse: () => T): T {
    this.#scopes.push(new Map());
    try {
      return parse();
    } finally {
      this.#scopes.pop();
    }
  }

  declare(declaration: ValueDeclaration): void {
    this.#scopes.at(-1)?.set(declaration.name, declaration);
  }

  meaning(name: string): Meaning | undefined {
    const declaration = this.#scopes.findLast((scope) => scope.has(name))?.get(name);
    return declaration ? { kind: "value", declaration } : this.global(name);
  }

  /** Parses at another place, at the level of the module, and comes back. */
  elsewhere<T>(at: number, parse: () => T): T {
    const [back, scopes] = [this.at, this.#scopes];
    this.at = at;
    this.#scopes = [];
    try {
      return parse();
    } finally {
      this.at = back;
      this.#scopes = scopes;
    }
  }

  /** Passes everything up to the bracket that closes the one just read. */
  skipTo(close: "}" | ")" | ";"): void {
    const pairs: Readonly<Record<string, number>> = { "(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1 };
    let depth = 0;
    for (;;) {
      const token = this.next();
      if (token.kind === "end") throw this.error(`the text ends before ${close}`, token);
      if (depth === 0 && token.text === close) return;
      depth += pairs[token.text] ?? 0;
    }
  }
}
