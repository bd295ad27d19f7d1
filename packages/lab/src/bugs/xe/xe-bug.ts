import { DmaDevice, type IommuMode, TagMemory } from '@gpusvm/dma-iova';
import { FolioTable, Mm } from '@gpusvm/hmm';
import { type KernelProfile, Machine, random, type Task } from '@gpusvm/kernel';
import type { MmRuleId } from '@gpusvm/sanitizer';
import { XeDevice, XeVm } from '@gpusvm/xe-driver';
import type { Evidence } from '../bug.ts';

/** First page of the memory that the tasks of a trigger use: 2M aligned, far from 0. */
export const XE_FIRST: number = 512 * 4096;

/** A process whose memory a whole driver stack mirrors: Xe on drm_gpusvm, drm_pagemap and hmm. */
export interface XeWorld {
  readonly machine: Machine;
  readonly folios: FolioTable;
  readonly mm: Mm;
  readonly device: DmaDevice;
  readonly xe: XeDevice;
  readonly vm: XeVm;
}

/**
 * A bug of a driver as a live patch of the whole stack: one operation of one layer replaced, in this world only. Its
 * trigger runs under random schedules, since most of these are races.
 */
export interface XeBug {
  /** Id in the catalogue of real bugs, or of the rule that the patch is made for. */
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly evidence: Evidence;
  /** The rule that must be named. */
  readonly finds: MmRuleId;
  /** Modes in which the bug shows; default all four. */
  readonly modes?: readonly IommuMode[];
  /** Where the bug is a property of the kernel: that kernel. */
  readonly profile?: KernelProfile;
  /** And the kernel that is correct; default `next`. */
  readonly fixedIn?: KernelProfile;
  /** Ranges stay in system memory. */
  readonly system?: true;
  /** The process and the device may only read. */
  readonly readOnly?: true;
  /** Pages of the process that the CPU has not touched, behind those that it has. */
  readonly untouched?: number;
  /** Restore the faulty behaviour. */
  patch(w: XeWorld): void;
  /** The racing tasks, by name; legal without the patch. */
  readonly tasks: Readonly<Record<string, (w: XeWorld) => Task<unknown>>>;
}

/** Pages that the CPU writes before the tasks race. */
export const XE_PAGES = 16;

/** A fresh world for a bug in one mode, with correct code only. */
export function makeXeWorld(bug: XeBug, iommu: IommuMode, profile: KernelProfile, seed: number): XeWorld {
  const machine = new Machine({ seed, profile, strategy: { ...random(), timeless: true } });
  const memory = new TagMemory(machine, { pages: 2048 });
  const device = new DmaDevice(machine, memory, { name: 'gpu0', iommu, swiotlbPages: 512 });
  const folios = new FolioTable(machine, memory);
  const mm = new Mm(machine, folios, { name: 'process' });
  const xe = new XeDevice(machine, {
    memory,
    folios,
    device,
    vramPages: 64,
    mapStrategy: 'iova-packed',
    chunkPages: [16, 1],
    eus: 1,
    engines: 3,
    devmem: bug.system !== true,
  });
  const vm = machine.run(XeVm.create(xe, mm));
  if (typeof vm === 'number') throw new Error(`no VM: ${vm}`);
  return { machine, folios, mm, device, xe, vm };
}

/** Map the memory, write it, and let the device mirror it. */
export function* prepareXe(bug: XeBug, { mm, vm }: XeWorld): Task<void> {
  const pages = XE_PAGES + (bug.untouched ?? 0);
  yield* mm.mmap(XE_FIRST, pages, { read: true, write: true });
  for (let page = XE_FIRST; page < XE_FIRST + XE_PAGES; page++) yield* mm.cpuWrite(page, page);
  const readOnly = bug.readOnly ?? false;
  if (readOnly) yield* mm.mprotect(XE_FIRST, pages, { read: true, write: false });
  yield* vm.bindMirror(XE_FIRST, pages, { readOnly });
}
