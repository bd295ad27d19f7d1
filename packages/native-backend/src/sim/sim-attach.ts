import { EINVAL, ENOENT, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import type { SimContext } from './sim-context.ts';
import type { SimDeviceObject, SimFaultObject, SimHwptObject, SimIoasObject } from './sim-objects.ts';

/*
 * Binding devices to page tables (drivers/iommu/iommufd/device.c and hw_pagetable.c). The order of the steps is
 * kept, because it decides which errno wins and what is undone.
 */

/** Flags of a new page table. */
export interface SimHwptFlags {
  readonly auto: boolean;
  readonly dirty: boolean;
  readonly fault: SimFaultObject | null;
}

const PLAIN: SimHwptFlags = { auto: true, dirty: false, fault: null };

/**
 * Attach a device to an IOAS or page table, or replace what it is attached to.
 *
 * @returns the id of the page table, or a negated errno: -ENOENT, -EINVAL for another kind of object, -EADDRINUSE,
 *   -EFAULT, -ENOMEM.
 */
export function attach(ctx: SimContext, device: SimDeviceObject, ptId: number): number {
  const target = ctx.objects.get(ptId);
  if (target === null) return -ENOENT;
  if (target.kind === 'hwpt') {
    const err = device.hwpt === null ? enter(ctx, device, target) : replace(ctx, device, target);
    return err === 0 ? target.id : err;
  }
  if (target.kind !== 'ioas') return -EINVAL;
  for (const hwpt of target.hwpts) {
    if (!hwpt.auto) continue;
    const err = device.hwpt === null ? enter(ctx, device, hwpt) : replace(ctx, device, hwpt);
    if (err === 0) return hwpt.id;
    if (err !== -EINVAL) return err;
  }
  return device.hwpt === null ? attachFirst(ctx, device, target) : replaceByNew(ctx, device, target);
}

/** Detach; an automatic page table goes with its last device. Nothing happens when not attached. */
export function detach(ctx: SimContext, device: SimDeviceObject): void {
  const hwpt = device.hwpt;
  if (hwpt === null) return;
  device.hwpt = null;
  hwpt.parent.ioas.release(device);
  putHwpt(ctx, hwpt);
}

/** Make a page table over an IOAS and fill it. @returns the object, or a negated errno. */
export function allocHwpt(
  ctx: SimContext,
  parent: SimIoasObject,
  flags: SimHwptFlags,
): SimHwptObject | Errno {
  const { driver } = ctx.host;
  if (flags.dirty && !driver.dirtyTracking) return -EOPNOTSUPP;
  const hwpt = newHwpt(ctx, parent, flags);
  const err = parent.ioas.addDomain(hwpt);
  if (err !== 0) return err;
  publish(ctx, hwpt);
  return hwpt;
}

/** What is left to do when a page table has left the table of objects. */
export function destroyHwpt(hwpt: SimHwptObject): void {
  const { parent } = hwpt;
  parent.hwpts.splice(parent.hwpts.indexOf(hwpt), 1);
  parent.users--;
  parent.ioas.removeDomain(hwpt);
  if (hwpt.fault !== null) hwpt.fault.users--;
}

function newHwpt(ctx: SimContext, parent: SimIoasObject, flags: SimHwptFlags): SimHwptObject {
  const { driver, kernel } = ctx.host;
  const byCpuPage = kernel.dirtyByCpuPage && driver.ioPageBytes < 4096n;
  return {
    kind: 'hwpt',
    id: ctx.objects.nextId(),
    users: 0,
    parent,
    aperture: driver.aperture,
    ioPageBytes: driver.ioPageBytes,
    readsWriteOnly: driver.readsWriteOnly,
    auto: flags.auto,
    dirtyCapable: flags.dirty,
    fault: flags.fault,
    dirtyTracking: false,
    dirtyBytes: byCpuPage ? 4096n : driver.ioPageBytes,
    dirty: new Set(),
  };
}

function publish(ctx: SimContext, hwpt: SimHwptObject): void {
  hwpt.parent.hwpts.push(hwpt);
  hwpt.parent.users++;
  if (hwpt.fault !== null) hwpt.fault.users++;
  ctx.objects.add(hwpt);
}

/** iommufd_device_attach_reserved_iova: all regions or none. */
function reserveFor(ctx: SimContext, device: SimDeviceObject, ioas: SimIoasObject): Errno {
  for (const { start, last } of ctx.host.driver.reserved) {
    const err = ioas.ioas.reserve(start, last, device);
    if (err === 0) continue;
    ioas.ioas.release(device);
    return err;
  }
  return 0;
}

/** iommufd_hw_pagetable_attach. */
function enter(ctx: SimContext, device: SimDeviceObject, hwpt: SimHwptObject): Errno {
  const err = reserveFor(ctx, device, hwpt.parent);
  if (err !== 0) return err;
  device.hwpt = hwpt;
  hwpt.users++;
  return 0;
}

/** A first attach makes the page table in immediate mode: reserved regions come before the fill. */
function attachFirst(ctx: SimContext, device: SimDeviceObject, parent: SimIoasObject): number {
  const hwpt = newHwpt(ctx, parent, PLAIN);
  let err = enter(ctx, device, hwpt);
  if (err !== 0) return err;
  err = parent.ioas.addDomain(hwpt);
  if (err !== 0) {
    device.hwpt = null;
    parent.ioas.release(device);
    return err;
  }
  publish(ctx, hwpt);
  return hwpt.id;
}

/** A replace fills the new page table first. */
function replaceByNew(ctx: SimContext, device: SimDeviceObject, parent: SimIoasObject): number {
  const hwpt = newHwpt(ctx, parent, PLAIN);
  let err = parent.ioas.addDomain(hwpt);
  if (err !== 0) return err;
  publish(ctx, hwpt);
  err = replace(ctx, device, hwpt);
  if (err === 0) return hwpt.id;
  ctx.objects.remove(hwpt.id);
  destroyHwpt(hwpt);
  return err;
}

/** iommufd_device_do_replace: atomic for the device. */
function replace(ctx: SimContext, device: SimDeviceObject, hwpt: SimHwptObject): Errno {
  const old = device.hwpt!;
  if (hwpt === old) return 0;
  const moves = old.parent !== hwpt.parent;
  if (moves) {
    const err = reserveFor(ctx, device, hwpt.parent);
    if (err !== 0) return err;
  }
  device.hwpt = hwpt;
  hwpt.users++;
  if (moves) old.parent.ioas.release(device);
  putHwpt(ctx, old);
  return 0;
}

function putHwpt(ctx: SimContext, hwpt: SimHwptObject): void {
  hwpt.users--;
  if (!hwpt.auto || hwpt.users > 0) return;
  ctx.objects.remove(hwpt.id);
  destroyHwpt(hwpt);
}
