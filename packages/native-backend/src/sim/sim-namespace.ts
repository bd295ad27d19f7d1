const CHUNK = 4096;

/** The store of a simulated NVMe namespace; chunks exist from their first write. */
export class SimNamespace {
  readonly blockBytes = 512;
  readonly blocks: number;
  readonly #chunks = new Map<number, Uint8Array>();

  constructor(bytes: number) {
    if (bytes <= 0 || bytes % 512 !== 0) throw new RangeError(`a namespace of ${bytes} bytes`);
    this.blocks = bytes / 512;
  }

  read(byteOffset: number, into: Uint8Array): void {
    this.#forEachPiece(byteOffset, into.length, (chunk, at, done, bytes) => {
      const data = this.#chunks.get(chunk);
      if (data === undefined) into.fill(0, done, done + bytes);
      else into.set(data.subarray(at, at + bytes), done);
    });
  }

  write(byteOffset: number, from: Uint8Array): void {
    this.#forEachPiece(byteOffset, from.length, (chunk, at, done, bytes) => {
      let data = this.#chunks.get(chunk);
      if (data === undefined) {
        data = new Uint8Array(CHUNK);
        this.#chunks.set(chunk, data);
      }
      data.set(from.subarray(done, done + bytes), at);
    });
  }

  #forEachPiece(
    byteOffset: number,
    length: number,
    fn: (chunk: number, at: number, done: number, bytes: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const at = (byteOffset + done) & (CHUNK - 1);
      const bytes = Math.min(CHUNK - at, length - done);
      fn(Math.floor((byteOffset + done) / CHUNK), at, done, bytes);
      done += bytes;
    }
  }
}
