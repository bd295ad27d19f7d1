/** Progress on standard error, so that standard output stays the result. Silent when nobody watches. */
export interface Progress {
  /** Say what is being done now. */
  step(text: string): void;
  /** Remove the line. */
  clear(): void;
}

/** A line that overwrites itself on a terminal; nothing elsewhere. */
export function terminalProgress(stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY) return { step: () => {}, clear: () => {} };
  return {
    step: (text) => void stream.write(`\r\u001b[K${text}`),
    clear: () => void stream.write('\r\u001b[K'),
  };
}
