import { createHash } from 'node:crypto';

/**
 * Name of a cached thing: 16 hexadecimal digits that change when any part does. The order of the parts does not
 * matter, and no text can pass from one part into another.
 *
 * @param parts - name to content, for example `config` to the kernel configuration.
 */
export function contentKey(parts: Readonly<Record<string, string>>): string {
  const hash = createHash('sha256');
  for (const name of Object.keys(parts).sort()) {
    const content = parts[name]!;
    hash.update(`${name}\0${Buffer.byteLength(content)}\0${content}\0`);
  }
  return hash.digest('hex').slice(0, 16);
}
