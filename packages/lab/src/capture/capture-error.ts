/** What a {@link CaptureError} is about. */
export interface CaptureErrorPlace {
  /** File or process the error is about, as the user named it. */
  readonly file: string;
  /** Byte offset in the file, where one is known. */
  readonly offsetBytes?: number;
}

/** What to do about a damaged capture. */
export const MADE_AGAIN = 'make the capture again or fetch a good copy';

/**
 * A capture cannot be made or read. The message is one sentence: what, where, and what to do.
 */
export class CaptureError extends Error {
  /** File or process the error is about. */
  readonly file: string;
  /** Byte offset in the file, where one is known. */
  readonly offsetBytes: number | undefined;

  /**
   * @param place - the file or process, with the offset where known
   * @param problem - what is wrong, without a full stop
   * @param remedy - what the user can do, without a full stop
   */
  constructor(place: CaptureErrorPlace, problem: string, remedy: string) {
    const where = place.offsetBytes === undefined ? '' : ` at byte ${place.offsetBytes}`;
    super(`${place.file}: ${problem}${where}; ${remedy}.`);
    this.name = 'CaptureError';
    this.file = place.file;
    this.offsetBytes = place.offsetBytes;
  }
}
