import { EBUSY, ENODEV, ENOENT, EPERM } from '@gpusvm/kernel';
import { describe, expect, test } from 'vitest';
import { bindToVfio } from '../src/bind-to-vfio.ts';
import { findPci } from '../src/find-pci.ts';
import { Iommufd } from '../src/iommufd.ts';
import { KernelError } from '../src/kernel-error.ts';
import { SimEdu } from '../src/sim/sim-edu.ts';
import { SimSys } from '../src/sim/sim-sys.ts';
import type { SysMemory } from '../src/sys.ts';
import { IOMMU_IOAS_MAP } from '../src/uapi/iommufd.ts';
import { VFIO_DEVICE_BIND_IOMMUFD } from '../src/uapi/vfio.ts';
import { VfioDevice } from '../src/vfio-device.ts';
import { attached, EDU, NVME } from './sim-device.ts';

function memoryOf(sys: SimSys, pages: number): SysMemory {
  const memory = sys.mmap({ lengthBytes: pages * 4096 });
  if (typeof memory === 'number') throw new Error(`mmap ${memory}`);
  return memory;
}

/** The error that a function throws. */
function errorOf(fn: () => unknown): KernelError {
  try {
    fn();
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('disposal', () => {
  test('of the iommufd detaches, unmaps, destroys and closes everything, whatever is in use', () => {
    const t = attached();
    const hwpt = t.ioas.allocHwpt(t.device!);
    const second = t.iommufd.allocIoas();
    const queue = t.iommufd.allocFaultQueue();
    t.ioas.map({ memory: memoryOf(t.sys, 16) });
    second.copyFrom({ ioas: t.ioas, iova: 0x10000, lengthBytes: 0x1000 });
    t.device!.attach(hwpt);
    t.device!.mapBar(0);
    expect(queue.read()).toEqual([]);
    expect(t.sys.memlock.lockedPages).toBe(16);
    t.iommufd[Symbol.dispose]();
    expect([t.sys.openFiles, t.sys.memlock.lockedPages]).toEqual([0, 0]);
    t.iommufd[Symbol.dispose]();
  });

  test('of an address space takes its page tables and detaches its devices', () => {
    using t = attached();
    const hwpt = t.ioas.allocHwpt(t.device!);
    t.device!.attach(hwpt);
    t.ioas[Symbol.dispose]();
    const next = t.iommufd.allocIoas();
    expect(next.id).toBe(t.ioas.id);
    expect(t.device!.attach(next)).toBeGreaterThan(0);
  });

  test('of a device leaves the address space, which then may go', () => {
    using t = attached();
    const bar = t.device!.mapBar(0);
    t.device![Symbol.dispose]();
    expect(() => bar.read(0, 32)).toThrow('unmapped');
    expect(t.ioas.ranges().alignmentBytes).toBe(1);
    const again = VfioDevice.open(t.iommufd, EDU);
    expect(again.attach(t.ioas)).toBeGreaterThan(0);
  });

  test('in any order of creation leaves no descriptor', () => {
    const t = attached();
    const b = t.iommufd.allocIoas();
    bindToVfio(t.sys, NVME);
    const nvme = VfioDevice.open(t.iommufd, NVME);
    nvme.attach(b);
    b[Symbol.dispose]();
    t.device![Symbol.dispose]();
    t.ioas[Symbol.dispose]();
    t.iommufd[Symbol.dispose]();
    expect(t.sys.openFiles).toBe(0);
  });
});

describe('address spaces', () => {
  test('map where asked or where the kernel wants, copy, report and unmap', async () => {
    using t = attached();
    const memory = memoryOf(t.sys, 4);
    expect(t.ioas.map({ memory, lengthBytes: 4096, iova: 0x5000 })).toBe(0x5000);
    expect(t.ioas.map({ memory, offsetBytes: 4096, lengthBytes: 4096, access: 'r' })).toBe(0x1000);
    expect(await t.ioas.mapAsync({ memory, iova: 0x100000n })).toBe(0x100000);
    expect(t.ioas.ranges()).toEqual({
      alignmentBytes: 4096,
      ranges: [
        { start: 0n, last: 0xfedfffffn },
        { start: 0xfef00000n, last: 0xffffffffffffn },
      ],
    });
    t.ioas.allow([{ start: 0x200000n, last: 0x2fffffn }]);
    expect(t.ioas.map({ memory })).toBe(0x200000);
    expect(t.ioas.hugePages).toBe(true);
    expect(errorOf(() => (t.ioas.hugePages = false)).code).toBe('EINVAL');
    expect(t.ioas.unmap(0x5000, 4096)).toBe(4096);
    expect(t.ioas.unmapAll()).toBe(0x1000 + 2 * 0x4000);
    expect(t.ioas.unmapAll()).toBe(0);
  });

  test('take nothing but memory of their own system', () => {
    using t = attached();
    const foreign = memoryOf(new SimSys(), 1);
    expect(() => t.ioas.map({ memory: foreign })).toThrow('never a buffer of the JS heap');
    const forged = { address: 4096n, lengthBytes: 4096, bytes: new Uint8Array(4096) } as unknown as SysMemory;
    expect(() => t.ioas.map({ memory: forged })).toThrow(TypeError);
    const memory = memoryOf(t.sys, 2);
    expect(() => t.ioas.map({ memory, offsetBytes: 4096, lengthBytes: 8192 })).toThrow(RangeError);
    expect(t.ioas.unmapAll()).toBe(0);
  });

  test('say what is wrong: the call, the errno, the arguments and the likely cause', () => {
    using t = attached({ memlockBytes: 8192 });
    const memory = memoryOf(t.sys, 4);
    const error = errorOf(() => t.ioas.map({ memory, iova: 0x4000 }));
    expect(error).toMatchObject({ call: 'IOMMU_IOAS_MAP', code: 'ENOMEM', args: { length: 16384n } });
    expect(error.message).toContain('IOMMU_IOAS_MAP(flags 7, ioas_id');
    expect(error.message).toContain('failed with ENOMEM: pinning exceeds RLIMIT_MEMLOCK');
    expect(errorOf(() => t.ioas.unmap(0, 4096)).likelyCause).toContain('nothing is mapped there');
    expect(t.ioas.tryUnmap(0, 4096)).toBe(-ENOENT);
  });

  test('process accounting is an option before anything exists', () => {
    using iommufd = Iommufd.open(new SimSys());
    expect(iommufd.accountsByProcess).toBe(false);
    iommufd.accountsByProcess = true;
    expect(iommufd.accountsByProcess).toBe(true);
    iommufd.allocIoas();
    expect(errorOf(() => (iommufd.accountsByProcess = false)).errno).toBe(-EBUSY);
    using other = Iommufd.open(new SimSys({ privileged: false }));
    expect(errorOf(() => (other.accountsByProcess = true)).errno).toBe(-EPERM);
  });

  test('a call that the kernel lacks is known beforehand', () => {
    using iommufd = Iommufd.open(new SimSys());
    expect(iommufd.supports(IOMMU_IOAS_MAP)).toBe(true);
    expect(iommufd.supports({ ...IOMMU_IOAS_MAP, request: 0x3bf0 })).toBe(false);
  });
});

describe('binding', () => {
  test('without interrupt remapping is EPERM, unless the user accepts that', () => {
    const refused = errorOf(() => attached({ interruptRemapping: false }));
    expect(refused).toMatchObject({ call: VFIO_DEVICE_BIND_IOMMUFD.name, errno: -EPERM });
    expect(refused.likelyCause).toContain('does not remap interrupts');
    using allowed = attached({ interruptRemapping: false, allowUnsafeInterrupts: true });
    expect(allowed.device!.id).toBe(1 + allowed.ioas.id);
  });

  test('while another function of the group has a kernel driver is EPERM', () => {
    const functions = [
      { bdf: EDU, model: new SimEdu(), iommuGroup: 3 },
      { bdf: '0000:00:04.1', model: new SimEdu(), iommuGroup: 3, kernelDriver: 'edu' },
    ];
    expect(errorOf(() => attached({ functions })).errno).toBe(-EPERM);
  });

  test('a function with a kernel driver is refused, and unbound by nobody but the user', () => {
    const sys = new SimSys({ functions: [{ bdf: EDU, model: new SimEdu(), kernelDriver: 'edu' }] });
    expect(errorOf(() => bindToVfio(sys, EDU))).toMatchObject({ errno: -EBUSY, args: { driver: 'edu' } });
    expect(sys.writeText(`/sys/bus/pci/devices/${EDU}/driver/unbind`, EDU)).toBe(0);
    bindToVfio(sys, EDU);
    bindToVfio(sys, EDU);
    expect(sys.list('/dev/vfio/devices')).toEqual(['vfio0']);
  });

  test('without an IOMMU vfio-pci takes nothing, although the write to sysfs succeeds', () => {
    const sys = new SimSys({ driver: 'mock' });
    expect(errorOf(() => bindToVfio(sys, EDU)).errno).toBe(-ENODEV);
    using iommufd = Iommufd.open(sys);
    expect(errorOf(() => VfioDevice.open(iommufd, EDU)).errno).toBe(-ENOENT);
  });

  test('twice is EINVAL, by the same process too', () => {
    using t = attached();
    expect(errorOf(() => VfioDevice.open(t.iommufd, EDU)).likelyCause).toContain('bound already');
    expect(findPci(t.sys, 0x1234, 0x11e8)).toEqual([EDU]);
    expect(findPci(t.sys, 0x1234, 0xffff)).toEqual([]);
  });

  test('the registers, the configuration space and the interrupts of a device', () => {
    using t = attached();
    const device = t.device!;
    expect(device.readConfig(0, 2)).toBe(0x1234);
    expect(device.region(7)).toMatchObject({ sizeBytes: 256, canMmap: false });
    expect(() => device.mapBar(2)).toThrow('cannot be mapped');
    expect([0, 1, 2].map((index) => device.irqCount(index))).toEqual([1, 1, 0]);
    const fd = t.sys.eventfd();
    expect(errorOf(() => device.setIrq(1, 1, fd)).code).toBe('EINVAL');
    device.setIrq(1, 0, fd);
    device.mapBar(0).write(0x60, 32, 1);
    expect(t.sys.poll(fd, 0)).toBe(1);
    device.reset();
    t.sys.close(fd);
  });
});
