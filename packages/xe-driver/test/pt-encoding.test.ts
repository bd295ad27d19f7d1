import { expect, test } from 'vitest';
import {
  entryFrame,
  entryHigh,
  entryLow,
  hugeFrame,
  isEncodable,
  leafHighFlags,
  leafLowFlags,
  XE_PAGE_PRESENT,
  XE_PAGE_RW,
  XE_PDPE_PS,
} from '../src/pt-encoding.ts';

test('a frame up to 2^40 survives encoding, whatever the flags are', () => {
  for (const frame of [1, 0xf_ffff, 0x10_0000, 2 ** 32, 2 ** 39 + 12_345, 2 ** 40 - 1]) {
    const low = entryLow(frame, leafLowFlags(31, 0, 0xf02));
    const high = entryHigh(frame, leafHighFlags(31));
    expect(entryFrame(low, high)).toBe(frame);
  }
});

test('the bits of an entry are where the hardware manual puts them', () => {
  expect(leafLowFlags(0, 0, XE_PAGE_RW)).toBe(0b11);
  expect(leafLowFlags(0b00111, 0, 0)).toBe(1 | (1 << 3) | (1 << 4) | (1 << 7));
  expect(leafLowFlags(0b00100, 1, 0)).toBe(1 | (1 << 7) | (1 << 12));
  expect(leafHighFlags(0b01000)).toBe(1 << 30);
  expect(leafHighFlags(0b10000)).toBe(1 << 29);
});

test('bit 7 is a PAT bit at level 0 and the page-size bit above, so a huge frame ignores the low bits', () => {
  const low = entryLow(512 * 7, leafLowFlags(4, 1, 0));
  expect(low & XE_PDPE_PS).not.toBe(0);
  expect(low & XE_PAGE_PRESENT).toBe(1);
  expect(hugeFrame(low, 0, 1)).toBe(512 * 7);
});

test('only page-aligned addresses below 2^52 can be encoded', () => {
  expect(isEncodable(4096)).toBe(true);
  expect(isEncodable(4097)).toBe(false);
  expect(isEncodable(2 ** 52)).toBe(false);
  expect(isEncodable(-1)).toBe(false);
});
