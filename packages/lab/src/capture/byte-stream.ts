/** Writes unsigned LEB128 integers and bytes into a buffer that grows. */
export class ByteWriter {
  #bytes: Uint8Array = new Uint8Array(1024);
  #length = 0;

  /** @param value - 0 to 255 */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** @param value - an exact integer from 0 to 2^53 - 1 */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`varint: ${value} is not in 0..2^53-1`);
    let rest = value;
    this.#reserve(8);
    while (rest >= 0x80) {
      // Arithmetic, since shifts would cut the value to 32 bits.
      const low = rest % 0x80;
      this.#bytes[this.#length++] = low | 0x80;
      rest = (rest - low) / 0x80;
    }
    this.#bytes[this.#length++] = rest;
  }

  /** @param value - an exact integer, |value| below 2^52; small magnitudes take few bytes */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  /** @param bytes - copied as they are */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** @returns what was written, in an array of exact length */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Throws an error that names what is wrong and the offset of the value that is. */
export type FailAt = (problem: string, offset: number) => never;

/** Reads what {@link ByteWriter} wrote, and never past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #fail: FailAt;
  #offset = 0;

  /**
   * @param bytes - the bytes
   * @param fail - throws
   */
  constructor(bytes: Uint8Array, fail: FailAt) {
    this.#bytes = bytes;
    this.#fail = fail;
  }

  /** Offset of the next byte. */
  get offset(): number {
    return this.#offset;
  }

  /** True when every byte was read. */
  get done(): boolean {
    return this.#offset === this.#bytes.length;
  }

  /** @returns the next byte */
  byte(): number {
    const value = this.#bytes[this.#offset];
    if (value === undefined) return this.#fail('the data ends too early', this.#offset);
    this.#offset++;
    return value;
  }

  /**
   * @param end - the value must be below this
   * @returns an integer from 0 to `end - 1`
   */
  varint(end: number): number {
    const start = this.#offset;
    let value = 0;
    let scale = 1;
    // Eight groups of seven bits hold 2^53.
    for (let group = 0; group < 8; group++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte >= 0x80) continue;
      if (byte === 0 && group > 0) return this.#fail('a number is written with needless bytes', start);
      return value < end ? value : this.#fail(`${value} is not below ${end}`, start);
    }
    return this.#fail('a number is longer than 8 bytes', start);
  }

  /**
   * @param magnitudeEnd - the absolute value must be below this (at most 2^51)
   * @returns a signed integer
   */
  zigzag(magnitudeEnd: number): number {
    const code = this.varint(2 * magnitudeEnd);
    return code % 2 === 0 ? code / 2 : -(code + 1) / 2;
  }

  /**
   * @param count - bytes
   * @returns a view of the next bytes
   */
  raw(count: number): Uint8Array {
    if (this.#offset + count > this.#bytes.length) return this.#fail('the data ends too early', this.#offset);
    this.#offset += count;
    return this.#bytes.subarray(this.#offset - count, this.#offset);
  }
}
