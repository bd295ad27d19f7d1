import { EAGAIN, EBUSY, EINVAL, ENOENT } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { loadAddon } from '../src/addon.ts';
import { EBADF, ENOTTY } from '../src/errno.ts';
import type { Sys, SysMemory } from '../src/sys.ts';
import { linuxSys } from '../src/sys-addon.ts';

const found = linuxSys();

function sys(): Sys {
  if (!found.available) throw new Error(found.message);
  return found.sys;
}

function memory(lengthBytes = 8192): SysMemory {
  const mapped = sys().mmap({ lengthBytes });
  if (typeof mapped === 'number') throw new Error(`mmap: ${mapped}`);
  return mapped;
}

describe.runIf(process.platform === 'linux' && process.env['GPUSVM_ADDON'] === 'compiled')(
  'where it was compiled',
  () => {
    test('there is an addon', () => {
      expect(found).toMatchObject({ available: true });
    });
  },
);

// Without a C compiler there is none; the build says so.
describe.runIf(found.available)('the addon', () => {
  test('maps zeroed memory outside of the heap and gives it back: the bytes detach', () => {
    const mapped = memory();
    const { bytes } = mapped;
    expect(bytes.length).toBe(8192);
    expect(mapped.address % 4096n).toBe(0n);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    bytes[5] = 7;
    expect(mapped.read(5, 8)).toBe(7);
    expect(mapped.unmap()).toBe(0);
    expect([bytes.length, mapped.address]).toEqual([0, 0n]);
    expect(() => mapped.bytes).toThrow('has been unmapped');
    expect(() => mapped.read(0, 32)).toThrow('has been unmapped');
    expect(mapped.unmap()).toBe(-EINVAL);
  });

  test('reads and writes registers with every width, little endian', () => {
    const mapped = memory();
    mapped.write(8, 64, 0x1122334455667788n);
    expect(mapped.read(8, 64)).toBe(0x1122334455667788n);
    expect(mapped.read(8, 32)).toBe(0x55667788);
    expect(mapped.read(14, 16)).toBe(0x1122);
    expect(mapped.read(15, 8)).toBe(0x11);
    mapped.write(0, 8, 255);
    mapped.write(2, 16, 0xffff);
    mapped.write(4, 32, 0xffffffff);
    expect([...mapped.bytes.subarray(0, 8)]).toEqual([255, 0, 255, 255, 255, 255, 255, 255]);
    mapped.unmap();
  });

  test.each([
    ['an unaligned offset', 2, 32],
    ['an offset beyond the end', 8192, 8],
    ['an offset whose value would cross the end', 8190, 32],
  ] as const)('refuses %s', (_what, offset, bits) => {
    const mapped = memory();
    expect(() => mapped.read(offset, bits)).toThrow('unaligned or outside');
    expect(() => mapped.write(offset, bits, 0)).toThrow('unaligned or outside');
    mapped.unmap();
  });

  test('refuses a value that does not fit the register', () => {
    const mapped = memory();
    expect(() => mapped.write(0, 8, 256)).toThrow('does not fit');
    expect(() => mapped.write(0, 32, -1)).toThrow('unsigned 64-bit');
    expect(mapped.read(0, 32)).toBe(0);
    mapped.unmap();
  });

  test('refuses a size field larger than the buffer, before the kernel sees it', () => {
    const argument = new Uint8Array(16);
    argument[0] = 17;
    expect(() => sys().ioctl(0, 0x3b85, argument)).toThrow('larger than the buffer');
    expect(() => sys().ioctl(0, 0x3b85, new Uint8Array(3))).toThrow('shorter than its size field');
    expect(() => sys().ioctlAsync(0, 0x3b85, argument)).toThrow('larger than the buffer');
  });

  test('an ioctl gives the negated errno, at once and from the other thread', async () => {
    const fd = sys().eventfd();
    const argument = new Uint8Array([4, 0, 0, 0]);
    expect(sys().ioctl(fd, 0x3b85, argument)).toBe(-ENOTTY);
    expect(await sys().ioctlAsync(fd, 0x3b85, argument)).toBe(-ENOTTY);
    sys().close(fd);
    expect(sys().ioctl(fd, 0x3b85, argument)).toBe(-EBADF);
  });

  test('an eventfd is polled, counted and read', async () => {
    const fd = sys().eventfd();
    expect([sys().poll(fd, 0), sys().read(fd, new Uint8Array(8), null)]).toEqual([0, -EAGAIN]);
    const waiting = sys().pollAsync(fd, 10_000);
    sys().write(fd, new Uint8Array([3, 0, 0, 0, 0, 0, 0, 0]), null);
    expect(await waiting).toBe(1);
    const count = new Uint8Array(8);
    expect([sys().read(fd, count, null), count[0]]).toEqual([8, 3]);
    expect(sys().close(fd)).toBe(0);
    expect(sys().poll(fd, 0)).toBe(-EBADF);
  });

  test('memory can be advised to be huge, and of nothing is none', () => {
    const mapped = memory(4 * 2 ** 20);
    expect([0, -EINVAL]).toContain(mapped.adviseHuge(true));
    expect([0, -EINVAL]).toContain(mapped.adviseHuge(false));
    mapped.unmap();
    expect(sys().mmap({ lengthBytes: 0 })).toBe(-EINVAL);
  });

  test('bytes that were transferred away are not unmapped under their new owner', () => {
    const mapped = memory();
    // Node 20 has no ArrayBuffer.prototype.transfer.
    const buffer = mapped.bytes.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer };
    const taken = buffer.transfer?.();
    expect(mapped.unmap()).toBe(taken === undefined ? 0 : -EBUSY);
    expect(taken?.byteLength ?? 8192).toBe(8192);
  });

  test('files that are not there give their errno', () => {
    expect(sys().open('/dev/gpusvm-none')).toBe(-ENOENT);
    expect(sys().readText('/dev/gpusvm-none')).toBe(-ENOENT);
    expect(sys().list('/proc/self/fd')).toContain('0');
  });

  test('the address of a buffer of the heap cannot be learned, and such a buffer is not taken for DMA', () => {
    const forged = { ...memory(), address: 4096n } as SysMemory;
    expect(sys().owns(forged)).toBe(false);
    const loaded = loadAddon();
    expect(loaded.available ? Object.keys(loaded.addon).sort() : []).toEqual([
      'eventfd',
      'ioctl',
      'ioctlAsync',
      'madvise',
      'memfd',
      'mmap',
      'munmap',
      'poll',
      'pollAsync',
      'read',
      'write',
    ]);
  });
});

describe('without an addon the package says why', () => {
  const host = { platform: 'linux', arch: 'x64' };

  test.each([
    [
      { ...host, platform: 'darwin', load: () => ({}) },
      'platform',
      'iommufd exists on Linux only and this is darwin',
    ],
    [
      {
        ...host,
        arch: 'riscv64',
        load: () => {
          throw new Error('No native build was found for platform=linux arch=riscv64');
        },
      },
      'binary',
      'there is no prebuilt addon for linux-riscv64',
    ],
    [
      {
        ...host,
        load: () => {
          throw new Error('libc.so.6: version GLIBC_2.38 not found\nmore');
        },
      },
      'load',
      'the prebuilt addon for linux-x64 does not load: libc.so.6: version GLIBC_2.38 not found',
    ],
  ] as const)('%#: a typed reason and a sentence', (wrong, reason, message) => {
    const result = loadAddon(wrong);
    expect(result).toMatchObject({ available: false, reason });
    expect('message' in result ? result.message : '').toContain(message);
  });
});
