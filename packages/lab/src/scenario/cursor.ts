import { ScenarioError } from './scenario-error.ts';

/** The words of one line, taken one by one. */
export class Cursor {
  readonly line: number;
  readonly #words: readonly string[];
  #at = 0;

  constructor(text: string, line: number) {
    this.line = line;
    this.#words = text.split(/\s+/).filter((word) => word !== '');
  }

  /** The next word, or undefined at the end. */
  peek(): string | undefined {
    return this.#words[this.#at];
  }

  get atEnd(): boolean {
    return this.#at === this.#words.length;
  }

  /** Take the next word. */
  word(what: string): string {
    const word = this.#words[this.#at];
    if (word === undefined) throw this.error(`${what} is missing at the end of the line`);
    this.#at++;
    return word;
  }

  /** Take the next word if it is this one. */
  accept(word: string): boolean {
    if (this.peek() !== word) return false;
    this.#at++;
    return true;
  }

  /** Take a word that must be one of a list. */
  oneOf<T extends string>(list: readonly T[], what: string): T {
    const word = this.word(what);
    const known = list.find((item) => item === word);
    if (known === undefined) throw this.error(`${what} '${word}' is unknown; use one of ${list.join(', ')}`);
    return known;
  }

  /** Take words of a list as long as there are some. */
  manyOf<T extends string>(list: readonly T[]): T[] {
    const out: T[] = [];
    for (;;) {
      const known = list.find((item) => item === this.peek());
      if (known === undefined) return out;
      out.push(known);
      this.#at++;
    }
  }

  /** Take a name: letters, digits, `-` and `_`, beginning with a letter. */
  name(what: string): string {
    const word = this.word(what);
    if (!/^[A-Za-z][\w-]*$/.test(word)) throw this.error(`'${word}' is no name for ${what}`);
    return word;
  }

  /** Take a whole number. */
  number(what: string, least: number): number {
    const word = this.word(what);
    const value = Number(word);
    if (!/^\d+$/.test(word) || value < least || value > 2 ** 32) {
      throw this.error(`${what} must be a whole number from ${least} on, not '${word}'`);
    }
    return value;
  }

  /** Nothing may follow. */
  end(): void {
    if (!this.atEnd) throw this.error(`'${this.peek()}' is too much on this line`);
  }

  error(message: string): ScenarioError {
    return new ScenarioError(this.line, message);
  }
}
