import { EBUSY, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP, type Errno } from '@gpusvm/kernel';
import { IOMMU_TEST_PASID_RESERVED } from '../uapi/iommufd-test-virtual.ts';
import type { SimContext } from './sim-context.ts';
import type { SimDeviceObject, SimFaultObject, SimHwptObject, SimIoasObject } from './sim-objects.ts';
import type { SimNestedObject, SimPageTable } from './sim-virtual-objects.ts';

/*
 * Binding devices to page tables (drivers/iommu/iommufd/device.c and hw_pagetable.c). The order of the steps is
 * kept, because it decides which errno wins and what is undone. PASID 0 is the device itself.
 */

/** Flags of a new page table. */
export interface SimHwptFlags {
  readonly auto: boolean;
  readonly dirty: boolean;
  readonly nestParent: boolean;
  readonly pasid: boolean;
  readonly fault: SimFaultObject | null;
}

/** How a page table comes to a device: only the first, only in place of another, or as VFIO does it. */
export type SimAttachMode = 'attach' | 'replace' | 'either';

const PLAIN: SimHwptFlags = { auto: true, dirty: false, nestParent: false, pasid: false, fault: null };

/** The page table over an IOAS that a page table ends in. */
export function pagingOf(table: SimPageTable): SimHwptObject {
  return table.kind === 'nested' ? table.parent : table;
}

function tableOf(device: SimDeviceObject, pasid: number): SimPageTable | null {
  return pasid === 0 ? device.hwpt : (device.pasids.get(pasid) ?? null);
}

function setTable(device: SimDeviceObject, pasid: number, table: SimPageTable | null): void {
  if (pasid === 0) device.hwpt = table;
  else if (table === null) device.pasids.delete(pasid);
  else device.pasids.set(pasid, table);
}

/**
 * Attach a device or one of its PASIDs to an IOAS or page table, or replace what it is attached to.
 *
 * @returns the id of the page table, or a negated errno: -ENOENT, -EINVAL for another kind of object or a page table that
 *   does not go with PASIDs, -EADDRINUSE, -EFAULT, -ENOMEM, -EBUSY.
 */
export function attach(
  ctx: SimContext,
  device: SimDeviceObject,
  ptId: number,
  pasid = 0,
  mode: SimAttachMode = 'either',
): number {
  const target = ctx.objects.get(ptId);
  if (target === null) return -ENOENT;
  const first = mode === 'attach' || (mode === 'either' && tableOf(device, pasid) === null);
  const change = first ? enter : replace;
  if (target.kind === 'hwpt' || target.kind === 'nested') {
    const err = change(ctx, device, target, pasid);
    return err === 0 ? target.id : err;
  }
  if (target.kind !== 'ioas') return -EINVAL;
  for (const hwpt of target.hwpts) {
    if (!hwpt.auto) continue;
    const err = change(ctx, device, hwpt, pasid);
    if (err === 0) return hwpt.id;
    if (err !== -EINVAL) return err;
  }
  return first ? attachFirst(ctx, device, target, pasid) : replaceByNew(ctx, device, target, pasid);
}

/** Detach; an automatic page table goes with its last device. Nothing happens when not attached. */
export function detach(ctx: SimContext, device: SimDeviceObject, pasid = 0): void {
  const table = tableOf(device, pasid);
  if (table === null) return;
  setTable(device, pasid, null);
  if (device.mock !== null && pasid === IOMMU_TEST_PASID_RESERVED) device.mock.refusesNext = false;
  if (device.mock !== null && pasid === 0) device.mock.viommu = null;
  if (pasid === 0) pagingOf(table).parent.ioas.release(device);
  putTable(ctx, table);
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

/** The same for a guest's page table. */
export function destroyNested(nested: SimNestedObject): void {
  if (nested.viommu === null) nested.parent.users--;
  else nested.viommu.users--;
  if (nested.fault !== null) nested.fault.users--;
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
    nestParent: flags.nestParent,
    pasidCompatible: flags.pasid,
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

/** What the core and the driver look at: iommufd_hwpt_pasid_compat, then the attach operation. */
function accept(device: SimDeviceObject, table: SimPageTable, pasid: number): Errno {
  if (pasid === 0) {
    if (!table.pasidCompatible && device.pasids.size > 0) return -EINVAL;
  } else {
    if (!table.pasidCompatible) return -EINVAL;
    if (device.hwpt !== null && !device.hwpt.pasidCompatible) return -EINVAL;
  }
  return device.mock === null ? 0 : acceptMock(device, table, pasid);
}

/** The selftest's attach operations. */
function acceptMock(device: SimDeviceObject, table: SimPageTable, pasid: number): Errno {
  const mock = device.mock!;
  if (pasid !== 0) {
    if (pasid >= mock.pasids) return -EINVAL;
    if (pasid !== IOMMU_TEST_PASID_RESERVED) return 0;
    const refused = mock.refusesNext;
    mock.refusesNext = !refused;
    return refused ? -ENOMEM : 0;
  }
  if (mock.noDirty && table.kind === 'hwpt' && table.dirtyCapable) return -EINVAL;
  const viommu = table.kind === 'nested' ? table.viommu : null;
  const virtId = device.vdevice?.viommu === viommu ? device.vdevice?.virtId : undefined;
  if (viommu !== null && virtId === undefined) return -ENOENT;
  mock.viommu = viommu;
  mock.virtId = virtId ?? 0n;
  return 0;
}

/** iommufd_hw_pagetable_attach. */
function enter(ctx: SimContext, device: SimDeviceObject, table: SimPageTable, pasid: number): Errno {
  if (tableOf(device, pasid) !== null) return -EBUSY;
  const { parent } = pagingOf(table);
  let err = pasid === 0 ? reserveFor(ctx, device, parent) : 0;
  if (err !== 0) return err;
  err = accept(device, table, pasid);
  if (err !== 0) {
    if (pasid === 0) parent.ioas.release(device);
    return err;
  }
  setTable(device, pasid, table);
  table.users++;
  return 0;
}

/** A first attach makes the page table in immediate mode: reserved regions come before the fill. */
function attachFirst(ctx: SimContext, device: SimDeviceObject, parent: SimIoasObject, pasid: number): number {
  const hwpt = newHwpt(ctx, parent, PLAIN);
  let err = enter(ctx, device, hwpt, pasid);
  if (err !== 0) return err;
  err = parent.ioas.addDomain(hwpt);
  if (err !== 0) {
    setTable(device, pasid, null);
    if (pasid === 0) parent.ioas.release(device);
    return err;
  }
  publish(ctx, hwpt);
  return hwpt.id;
}

/** A replace fills the new page table first. */
function replaceByNew(
  ctx: SimContext,
  device: SimDeviceObject,
  parent: SimIoasObject,
  pasid: number,
): number {
  const hwpt = newHwpt(ctx, parent, PLAIN);
  let err = parent.ioas.addDomain(hwpt);
  if (err !== 0) return err;
  publish(ctx, hwpt);
  err = replace(ctx, device, hwpt, pasid);
  if (err === 0) return hwpt.id;
  ctx.objects.remove(hwpt.id);
  destroyHwpt(hwpt);
  return err;
}

/** iommufd_device_do_replace: atomic for the device. */
function replace(ctx: SimContext, device: SimDeviceObject, table: SimPageTable, pasid: number): Errno {
  const old = tableOf(device, pasid);
  if (old === null) return -EINVAL;
  if (table === old) return 0;
  const [from, to] = [pagingOf(old).parent, pagingOf(table).parent];
  const moves = pasid === 0 && from !== to;
  if (moves) {
    const err = reserveFor(ctx, device, to);
    if (err !== 0) return err;
  }
  const err = accept(device, table, pasid);
  if (err !== 0) {
    if (moves) to.ioas.release(device);
    return err;
  }
  setTable(device, pasid, table);
  table.users++;
  if (moves) from.ioas.release(device);
  putTable(ctx, old);
  return 0;
}

function putTable(ctx: SimContext, table: SimPageTable): void {
  table.users--;
  if (table.kind === 'nested' || !table.auto || table.users > 0) return;
  ctx.objects.remove(table.id);
  destroyHwpt(table);
}
