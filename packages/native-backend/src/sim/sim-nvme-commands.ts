import {
  NVME_ADMIN_CREATE_CQ,
  NVME_ADMIN_CREATE_SQ,
  NVME_ADMIN_DELETE_CQ,
  NVME_ADMIN_DELETE_SQ,
  NVME_ADMIN_IDENTIFY,
  NVME_CMD_FLUSH,
  NVME_CMD_READ,
  NVME_CMD_WRITE,
  NVME_PAGE,
  type NVME_SQE,
  NVME_STATUS,
} from '../devices/nvme-spec.ts';
import type { Values } from '../uapi/layout.ts';
import type { SimNamespace } from './sim-namespace.ts';
import type { SimRing } from './sim-nvme.ts';
import type { SimBus } from './sim-pci.ts';

type Command = Values<typeof NVME_SQE>;

/** What the commands work on. */
export interface SimNvmeQueues {
  readonly bus: SimBus;
  readonly namespace: SimNamespace;
  readonly submissions: Map<number, SimRing>;
  readonly completions: Map<number, SimRing>;
}

interface Outcome {
  readonly status: number;
  readonly result: number;
}

const done = (status: number, result = 0): Outcome => ({ status, result });
/** Blocks of one command: MDTS of QEMU's default is 2^7 pages. */
const MAX_TRANSFER = 512 * 1024;

/** Commands of the admin queue. */
export function runAdmin(nvme: SimNvmeQueues, c: Command): Outcome {
  switch (c.opcode) {
    case NVME_ADMIN_IDENTIFY:
      return identify(nvme, c);
    case NVME_ADMIN_CREATE_CQ:
    case NVME_ADMIN_CREATE_SQ:
      return createQueue(nvme, c, c.opcode === NVME_ADMIN_CREATE_SQ);
    case NVME_ADMIN_DELETE_CQ:
      return done(nvme.completions.delete(c.cdw10 & 0xffff) ? 0 : NVME_STATUS.invalidQueue);
    case NVME_ADMIN_DELETE_SQ:
      return done(nvme.submissions.delete(c.cdw10 & 0xffff) ? 0 : NVME_STATUS.invalidQueue);
    default:
      return done(NVME_STATUS.invalidOpcode);
  }
}

/** Commands of an I/O queue. */
export function runIo(nvme: SimNvmeQueues, c: Command): Outcome {
  if (c.opcode === NVME_CMD_FLUSH) return done(0);
  if (c.opcode !== NVME_CMD_READ && c.opcode !== NVME_CMD_WRITE) return done(NVME_STATUS.invalidOpcode);
  const { namespace, bus } = nvme;
  const first = c.cdw11 * 2 ** 32 + c.cdw10;
  const blocks = (c.cdw12 & 0xffff) + 1;
  const bytes = blocks * namespace.blockBytes;
  if (c.nsid !== 1 || bytes > MAX_TRANSFER) return done(NVME_STATUS.invalidField);
  if (first + blocks > namespace.blocks) return done(NVME_STATUS.lbaOutOfRange);
  const pieces = resolvePrps(bus, c.prp1, c.prp2, bytes);
  if (typeof pieces === 'number') return done(pieces);
  let at = first * namespace.blockBytes;
  for (const { iova, length } of pieces) {
    const piece = new Uint8Array(length);
    // An untranslated page loses its part; QEMU reports success all the same.
    if (c.opcode === NVME_CMD_READ) {
      namespace.read(at, piece);
      bus.dmaWrite(iova, piece);
    } else {
      bus.dmaRead(iova, piece);
      namespace.write(at, piece);
    }
    at += length;
  }
  return done(0);
}

interface Piece {
  readonly iova: bigint;
  readonly length: number;
}

/** The two PRPs of a command, and the list behind the second, as pieces of memory. */
function resolvePrps(bus: SimBus, prp1: bigint, prp2: bigint, bytes: number): Piece[] | number {
  const head = Math.min(bytes, NVME_PAGE - Number(prp1 % 4096n));
  const pieces: Piece[] = [{ iova: prp1, length: head }];
  let left = bytes - head;
  if (left === 0) return pieces;
  if (left <= NVME_PAGE) {
    if (prp2 % 4096n !== 0n) return NVME_STATUS.invalidPrpOffset;
    pieces.push({ iova: prp2, length: left });
    return pieces;
  }
  for (let at = prp2; left > 0; ) {
    const entries = (NVME_PAGE - Number(at % 4096n)) / 8;
    const list = new Uint8Array(entries * 8);
    if (!bus.dmaRead(at, list)) return NVME_STATUS.dataTransferError;
    const view = new DataView(list.buffer);
    const pages = Math.ceil(left / NVME_PAGE);
    // The last entry of a full page points to the next list.
    const used = pages > entries ? entries - 1 : pages;
    for (let i = 0; i < used; i++) {
      const iova = view.getBigUint64(8 * i, true);
      if (iova % 4096n !== 0n) return NVME_STATUS.invalidPrpOffset;
      const length = Math.min(NVME_PAGE, left);
      pieces.push({ iova, length });
      left -= length;
    }
    if (left > 0) at = view.getBigUint64(8 * (entries - 1), true);
  }
  return pieces;
}

function createQueue(nvme: SimNvmeQueues, c: Command, submission: boolean): Outcome {
  const id = c.cdw10 & 0xffff;
  const queues = submission ? nvme.submissions : nvme.completions;
  const completion = submission ? c.cdw11 >>> 16 : 0;
  if (id === 0 || queues.has(id)) return done(NVME_STATUS.invalidQueue);
  if ((c.cdw11 & 1) === 0 || c.prp1 % 4096n !== 0n) return done(NVME_STATUS.invalidField);
  if (submission && !nvme.completions.has(completion)) return done(NVME_STATUS.invalidQueue);
  const interrupts = !submission && (c.cdw11 & 2) !== 0;
  queues.set(id, {
    base: c.prp1,
    entries: (c.cdw10 >>> 16) + 1,
    head: 0,
    tail: 0,
    phase: 1,
    completion,
    vector: interrupts ? c.cdw11 >>> 16 : -1,
  });
  return done(0);
}

function identify(nvme: SimNvmeQueues, c: Command): Outcome {
  const page = new Uint8Array(4096);
  const view = new DataView(page.buffer);
  const text = (at: number, length: number, value: string): void => {
    for (let i = 0; i < length; i++) page[at + i] = value.charCodeAt(i) || 0x20;
  };
  if (c.cdw10 === 1) {
    view.setUint16(0, 0x1b36, true);
    text(4, 20, 'gdma1');
    text(24, 40, 'QEMU NVMe Ctrl');
    page[77] = 7;
    view.setUint32(516, 1, true);
  } else if (c.cdw10 === 0 && c.nsid === 1) {
    for (const at of [0, 8, 16]) view.setBigUint64(at, BigInt(nvme.namespace.blocks), true);
    view.setUint32(128, 9 << 16, true);
  } else if (c.cdw10 === 2) {
    view.setUint32(0, 1, true);
  } else {
    return done(NVME_STATUS.invalidField);
  }
  return done(nvme.bus.dmaWrite(c.prp1, page) ? 0 : NVME_STATUS.dataTransferError);
}
