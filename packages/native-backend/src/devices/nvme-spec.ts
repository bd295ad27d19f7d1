/* Registers, commands and structures of the NVM Express base specification 1.4, as far as they are used here. */

export const NVME_CAP: 0x00 = 0x00;
export const NVME_VS: 0x08 = 0x08;
export const NVME_CC: 0x14 = 0x14;
export const NVME_CSTS: 0x1c = 0x1c;
export const NVME_AQA: 0x24 = 0x24;
export const NVME_ASQ: 0x28 = 0x28;
export const NVME_ACQ: 0x30 = 0x30;
export const NVME_DOORBELLS: 0x1000 = 0x1000;

export const NVME_CC_ENABLE: 1 = 1;
/** Submission entries of 2^6, completion entries of 2^4 bytes. */
export const NVME_CC_ENTRY_SIZES: number = (4 << 20) | (6 << 16);
export const NVME_CSTS_READY: 1 = 1;
export const NVME_CSTS_FATAL: 2 = 2;

export const NVME_ADMIN_DELETE_SQ: 0x00 = 0x00;
export const NVME_ADMIN_CREATE_SQ: 0x01 = 0x01;
export const NVME_ADMIN_DELETE_CQ: 0x04 = 0x04;
export const NVME_ADMIN_CREATE_CQ: 0x05 = 0x05;
export const NVME_ADMIN_IDENTIFY: 0x06 = 0x06;

export const NVME_CMD_FLUSH: 0x00 = 0x00;
export const NVME_CMD_WRITE: 0x01 = 0x01;
export const NVME_CMD_READ: 0x02 = 0x02;

export const NVME_SQE_BYTES: 64 = 64;
export const NVME_CQE_BYTES: 16 = 16;
export const NVME_PAGE: 4096 = 4096;

/** Status codes as they stand in a completion, without phase; 0x4000 is Do Not Retry. */
export const NVME_STATUS: {
  readonly success: 0;
  readonly invalidOpcode: number;
  readonly invalidField: number;
  readonly dataTransferError: number;
  readonly invalidPrpOffset: number;
  readonly lbaOutOfRange: number;
  readonly invalidQueue: number;
} = {
  success: 0,
  invalidOpcode: 0x4001,
  invalidField: 0x4002,
  dataTransferError: 0x0004,
  invalidPrpOffset: 0x4013,
  lbaOutOfRange: 0x4080,
  invalidQueue: 0x4101,
};

/** Submission queue entry. */
export const NVME_SQE = [
  ['opcode', 'u8'],
  ['flags', 'u8'],
  ['cid', 'u16'],
  ['nsid', 'u32'],
  ['reserved', 'u64'],
  ['mptr', 'u64'],
  ['prp1', 'u64'],
  ['prp2', 'u64'],
  ['cdw10', 'u32'],
  ['cdw11', 'u32'],
  ['cdw12', 'u32'],
  ['cdw13', 'u32'],
  ['cdw14', 'u32'],
  ['cdw15', 'u32'],
] as const;

/** Completion queue entry; `status` is shifted by the phase bit. */
export const NVME_CQE = [
  ['result', 'u32'],
  ['reserved', 'u32'],
  ['sqHead', 'u16'],
  ['sqId', 'u16'],
  ['cid', 'u16'],
  ['status', 'u16'],
] as const;
