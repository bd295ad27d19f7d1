import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A capture that ships with this package. */
export interface ShippedCapture {
  readonly name: string;
  readonly file: string;
}

/** The captures of `captures/` by name, in order; `captures/README.md` says how each was made. */
export function shippedCaptures(): ShippedCapture[] {
  const folder = new URL('../../captures/', import.meta.url);
  return readdirSync(folder)
    .filter((entry) => entry.endsWith('.gsvm'))
    .sort()
    .map((entry) => ({ name: entry.slice(0, -'.gsvm'.length), file: fileURLToPath(new URL(entry, folder)) }));
}
