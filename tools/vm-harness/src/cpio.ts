/** An entry of an archive: a folder when `content` is absent. Folders come before what they hold. */
export interface CpioEntry {
  readonly path: string;
  readonly mode: number;
  readonly content?: Uint8Array;
  /** Target of a symbolic link, in place of content. */
  readonly link?: string;
}

const FOLDER = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;

/** Archive in the `newc` format of Documentation/driver-api/early-userspace/buffer-format.rst. Same entries, same bytes. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const entry of [...entries, { path: 'TRAILER!!!', mode: 0, content: new Uint8Array() }]) {
    const data = entry.link === undefined ? (entry.content ?? new Uint8Array()) : Buffer.from(entry.link);
    const type = entry.link !== undefined ? LINK : entry.content === undefined ? FOLDER : FILE;
    const isTrailer = entry.mode === 0;
    const name = Buffer.from(`${entry.path}\0`);
    const fields = [isTrailer ? 0 : inode++, isTrailer ? 0 : type | entry.mode, 0, 0, 1, 0];
    fields.push(data.length, 0, 0, 0, 0, name.length, 0);
    const header = `070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}`;
    parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(Buffer.from(data)));
  }
  return Buffer.concat(parts);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
