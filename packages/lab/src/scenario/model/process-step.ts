import { accessRemoteVm, pinUserPages, unpinUserPages, Userfaultfd, type VmaOptions } from '@gpusvm/hmm';
import { Dmirror } from '@gpusvm/hmm/test-hmm';
import { EBADF, EFAULT, ENOMEM, type Errno, type Task } from '@gpusvm/kernel';
import type { MapFlag, ProcessOp, Protection } from '../ast.ts';
import { expandValues } from '../values.ts';
import type { Process, ScenarioWorld } from './scenario-world.ts';

/** What a step yields in the model: an errno (0 or negative), or values page by page. */
export type ModelResult = Errno | number[];

/** Do what a process does by itself. */
export function* processStep(w: ScenarioWorld, p: Process, what: ProcessOp): Task<ModelResult> {
  if (what.op === 'mmap') return yield* mmap(w, p, what);
  if (what.op === 'mremap') return yield* mremap(w, p, what);
  if (what.op === 'fork') return yield* fork(w, p, what.child);
  if (what.op === 'open') return yield* open(w, p, what.device);
  if (what.op === 'exit') {
    yield* w.exit(p);
    return 0;
  }
  if (what.op === 'close') {
    if (!p.files.has(what.device)) return -EBADF;
    yield* w.close(p, what.device);
    return 0;
  }
  if (what.op === 'unpin') {
    w.unpin(what.pin);
    return 0;
  }
  return yield* rangeStep(w, p, what);
}

function* mremap(w: ScenarioWorld, p: Process, what: Extract<ProcessOp, { op: 'mremap' }>): Task<Errno> {
  const { page, pages } = w.layout.range(what.range);
  const newPage = w.layout.buffer(what.buffer).page + what.at;
  const got = yield* p.mm.mremap(page, pages, pages, { newPage, dontUnmap: what.dontUnmap });
  return Math.min(got, 0);
}

function* fork(w: ScenarioWorld, p: Process, name: string): Task<Errno> {
  const child = yield* p.mm.fork(name);
  if (typeof child === 'number') return child;
  w.born(name, child, p);
  return 0;
}

type RangeOp = Extract<ProcessOp, { range: unknown }>;

function* rangeStep(
  w: ScenarioWorld,
  p: Process,
  what: Exclude<RangeOp, { op: 'mremap' }>,
): Task<ModelResult> {
  const { mm } = p;
  const { page, pages } = w.layout.range(what.range);
  let result: ModelResult;
  switch (what.op) {
    case 'munmap':
      result = yield* mm.munmap(page, pages);
      break;
    case 'mprotect':
      result = yield* mm.mprotect(page, pages, access(what.prot));
      break;
    case 'mlock':
    case 'munlock':
      result = yield* mm.mlock(page, pages, what.op === 'mlock');
      break;
    case 'swap':
      result = yield* mm.madvisePageout(page, pages);
      break;
    case 'madvise':
      result = yield* madvise(p, page, pages, what.advice);
      break;
    case 'read':
      result = yield* each(pages, (i) => retried(() => mm.cpuRead(page + i)));
      break;
    case 'peek':
      result = yield* each(pages, (i) => reached(accessRemoteVm(mm, page + i, null, 'pin')));
      break;
    case 'write': {
      const tags = expandValues(what.values, pages) as number[];
      const done = yield* each(pages, (i) => retried(() => mm.cpuWrite(page + i, tags[i]!)));
      result = typeof done === 'number' ? done : 0;
      break;
    }
    case 'poke': {
      const tags = expandValues(what.values, pages) as number[];
      const done = yield* each(pages, (i) => reached(accessRemoteVm(mm, page + i, tags[i] ?? null, 'pin')));
      result = typeof done === 'number' ? done : 0;
      break;
    }
    case 'pin':
      result = yield* pin(w, p, what, page, pages);
      break;
    case 'uffd':
      result = yield* uffd(w, p, page, pages, what.value);
      break;
  }
  return result;
}

/**
 * A page fault without memory is just taken again (pagefault_out_of_memory): it is up to the allocator to call the OOM
 * killer. An allocation that was made to fail once is to be had then.
 */
function* retried(access: () => Task<number>): Task<number> {
  const got = yield* access();
  return got === -ENOMEM ? yield* access() : got;
}

/** process_vm_readv and process_vm_writev know one errno only for a page that is not to be had. */
function* reached(access: Task<number>): Task<number> {
  const got = yield* access;
  return got < 0 ? -EFAULT : got;
}

/** Page by page until the first error. */
function* each(pages: number, body: (i: number) => Task<number>): Task<ModelResult> {
  const out: number[] = [];
  for (let i = 0; i < pages; i++) {
    const got = yield* body(i);
    if (got < 0) return got;
    out.push(got);
  }
  return out;
}

function access(prot: Protection): { read: boolean; write: boolean } {
  return { read: prot !== 'none', write: prot === 'rw' };
}

function* mmap(w: ScenarioWorld, p: Process, what: Extract<ProcessOp, { op: 'mmap' }>): Task<Errno> {
  const has = (flag: MapFlag): boolean => what.flags.includes(flag);
  const pfnmap = has('vvar') && w.machine.profile.hmm.vvarMapping === 'pfnmap';
  const options: VmaOptions = {
    ...access(what.prot),
    shared: has('shared'),
    file: has('file'),
    hugepage: has('thp'),
    hugetlb: has('hugetlb'),
    mixedmap: has('mixed') || (has('vvar') && !pfnmap),
    io: has('io') || pfnmap,
    ownFaultsOnly: has('vvar'),
  };
  const { page } = w.layout.buffer(what.buffer);
  const err = yield* p.mm.mmap(page, what.pages, options);
  return err !== 0 || !has('locked') ? err : yield* p.mm.mlock(page, what.pages);
}

function* madvise(
  p: Process,
  page: number,
  pages: number,
  advice: Extract<ProcessOp, { op: 'madvise' }>['advice'],
): Task<Errno> {
  const { mm } = p;
  let err: Errno;
  switch (advice) {
    case 'dontneed':
      err = yield* mm.madviseDontneed(page, pages);
      break;
    case 'free':
      err = yield* mm.madviseFree(page, pages);
      break;
    case 'cold':
      err = yield* mm.madviseCold(page, pages);
      break;
    case 'pageout':
      err = yield* mm.madvisePageout(page, pages);
      break;
    case 'hugepage':
    case 'nohugepage':
      err = yield* mm.madviseHugepage(page, pages, advice === 'hugepage');
      break;
    case 'collapse':
      err = yield* mm.madviseCollapse(page, pages);
      break;
    case 'guard':
    case 'unguard':
      err = yield* mm.madviseGuard(page, pages, advice === 'guard');
      break;
  }
  return err;
}

function* open(w: ScenarioWorld, p: Process, device: string): Task<Errno> {
  const mirror = new Dmirror(w.devices.get(device)!, p.mm);
  const err = yield* mirror.open();
  if (err !== 0) return err;
  yield* w.close(p, device);
  p.files.set(device, { mirror, users: 1 });
  return 0;
}

function* pin(
  w: ScenarioWorld,
  p: Process,
  what: Extract<ProcessOp, { op: 'pin' }>,
  page: number,
  pages: number,
): Task<Errno> {
  const pfns = new Float64Array(pages);
  const get = what.flags.includes('get');
  const write = what.flags.includes('write');
  const longterm = what.flags.includes('longterm');
  const taken = yield* pinUserPages(p.mm, page, pfns, { get, write, longterm });
  if (taken === pages) {
    w.pins.set(what.pin, { pfns, get, dirty: write });
    return 0;
  }
  if (taken < 0) return taken;
  unpinUserPages(w.folios, pfns, taken, { get });
  return -EFAULT;
}

/** Watch a range; a handler fills every page that is missed with one value. */
function* uffd(w: ScenarioWorld, p: Process, page: number, pages: number, value: number): Task<Errno> {
  const fd = new Userfaultfd(p.mm);
  const err = yield* fd.register(page, pages);
  if (err !== 0) return err;
  p.watches.push(fd);
  const handler = function* (): Task<void> {
    for (let missed = yield* fd.read(); missed >= 0; missed = yield* fd.read()) yield* fd.copy(missed, value);
  };
  w.machine.spawn(handler(), `userfaultfd handler of ${p.name}`);
  return 0;
}
