import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Firmware that stops the processor: cli; hlt; jmp back, at the reset vector. */
const FIRMWARE_BYTES = 65536;
const RESET_VECTOR = 0xfff0;
const HALT = [0xfa, 0xf4, 0xeb, 0xfd];
const MEMORY_MIB = 64;

/**
 * A QEMU machine without any software in it, driven by its qtest protocol: every access to memory, registers and
 * configuration space is a command of ours. Its VT-d and its devices work as always.
 *
 * Its clock counts instructions (icount), so that a device's timer of 100 ms takes no 100 ms.
 */
export class QtestMachine {
  readonly #qemu: ChildProcessWithoutNullStreams;
  readonly #folder: string;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];
  #errors = '';

  constructor(devices: readonly string[], trace: readonly string[] = []) {
    this.#folder = mkdtempSync(join(tmpdir(), 'gpusvm-qtest-'));
    const firmware = Buffer.alloc(FIRMWARE_BYTES, 0xf4);
    Buffer.from(HALT).copy(firmware, RESET_VECTOR);
    const bios = join(this.#folder, 'halt.bin');
    writeFileSync(bios, firmware);
    this.#qemu = spawn('qemu-system-x86_64', [
      '-machine',
      'q35',
      '-accel',
      'tcg',
      '-icount',
      'shift=0,sleep=off',
      '-display',
      'none',
      '-nodefaults',
      '-no-user-config',
      '-m',
      String(MEMORY_MIB),
      '-bios',
      bios,
      '-qtest',
      'stdio',
      '-qtest-log',
      '/dev/null',
      ...devices.flatMap((device) => ['-device', device]),
      ...trace.flatMap((event) => ['-trace', event]),
      '-D',
      join(this.#folder, 'trace'),
    ]);
    this.#qemu.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString('utf8');
    });
    const fail = (reason: string): void => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`${reason} ${this.#errors}`.trim()));
    };
    this.#qemu.on('error', (error) => fail(`qemu-system-x86_64 cannot be started: ${error.message}`));
    this.#qemu.on('close', (code, signal) => fail(`QEMU ended with ${signal ?? `status ${code}`}.`));
    // A command after the end is answered by the close above.
    this.#qemu.stdin.on('error', () => undefined);
    createInterface({ input: this.#qemu.stdout }).on('line', (line) => this.#onLine(line));
  }

  /** Read 1, 2, 4 or 8 bytes at a physical address, which may be a register. */
  async read(width: Width, address: number): Promise<bigint> {
    return BigInt((await this.#command(`read${SUFFIX[width]} ${hex(address)}`)).split(' ')[1]!);
  }

  /** Write 1, 2, 4 or 8 bytes at a physical address, which may be a register. */
  async write(width: Width, address: number, value: number | bigint): Promise<void> {
    await this.#command(`write${SUFFIX[width]} ${hex(address)} ${hex(value)}`);
  }

  /** Bytes of memory. */
  async readBytes(address: number, length: number): Promise<Buffer> {
    const answer = await this.#command(`read ${hex(address)} ${hex(length)}`);
    return Buffer.from(answer.split(' ')[1]!.slice(2), 'hex');
  }

  async writeBytes(address: number, bytes: Uint8Array): Promise<void> {
    await this.#command(`write ${hex(address)} ${hex(bytes.length)} 0x${Buffer.from(bytes).toString('hex')}`);
  }

  /** A register of a PCI function's configuration space, 4 bytes. */
  async readConfig(devfn: number, register: number): Promise<number> {
    await this.#selectConfig(devfn, register);
    return Number((await this.#command('inl 0xcfc')).split(' ')[1]);
  }

  async writeConfig(devfn: number, register: number, value: number): Promise<void> {
    await this.#selectConfig(devfn, register);
    await this.#command(`outl 0xcfc ${hex(value)}`);
  }

  /** End QEMU. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#qemu.once('close', () => resolve()));
    this.#qemu.kill();
    await closed;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** What QEMU traced so far. */
  get trace(): string {
    return readFileSync(join(this.#folder, 'trace'), 'utf8');
  }

  async #selectConfig(devfn: number, register: number): Promise<void> {
    await this.#command(`outl 0xcf8 ${hex((0x80000000 | (devfn << 8) | register) >>> 0)}`);
  }

  #command(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#qemu.exitCode !== null || this.#qemu.signalCode !== null) {
        reject(new Error(`QEMU has ended. ${this.#errors}`.trim()));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#qemu.stdin.write(`${text}\n`);
    });
  }

  #onLine(line: string): void {
    // Lines about interrupts come between the answers.
    if (!/^(OK|ERR|FAIL)/.test(line)) return;
    const waiting = this.#waiting.shift();
    if (line.startsWith('OK')) waiting?.resolve(line);
    else waiting?.reject(new Error(`qtest: ${line}`));
  }
}

/** Bytes of an access. */
export type Width = 1 | 2 | 4 | 8;
const SUFFIX: Readonly<Record<Width, string>> = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' };

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`;
}
