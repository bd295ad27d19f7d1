import { InvalidArgumentError } from 'commander';

/** Parser of an integer option. */
export function integer(name: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`${name} is a whole number from ${min} to ${max}, not '${text}'.`);
    }
    return value;
  };
}

/** Parser of an option that is one of a few words. */
export function oneOf<T extends string>(name: string, words: readonly T[]): (text: string) => T {
  return (text) => {
    const word = words.find((w) => w === text);
    if (word === undefined)
      throw new InvalidArgumentError(`${name} is one of ${words.join(', ')}, not '${text}'.`);
    return word;
  };
}

/** Parser of a comma-separated list of a few words; keeps the order, refuses repetition. */
export function listOf<T extends string>(name: string, words: readonly T[]): (text: string) => T[] {
  const one = oneOf(name, words);
  return (text) => {
    const list = text.split(',').map((part) => one(part.trim()));
    if (new Set(list).size !== list.length)
      throw new InvalidArgumentError(`'${text}' names a ${name} twice.`);
    return list;
  };
}

/** Parser of a short text; longer ones do not fit the file. */
export function shortText(name: string, maxBytes: number): (text: string) => string {
  return (text) => {
    const bytes = Buffer.byteLength(text);
    if (bytes > maxBytes)
      throw new InvalidArgumentError(`${name} has at most ${maxBytes} bytes, not ${bytes}.`);
    return text;
  };
}
