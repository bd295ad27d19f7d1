import { describe, expect, it } from 'vitest';
import { answer, isRight } from '../../src/compare/verdict.ts';
import { result } from '../support/results.ts';

const slow = result({ strategy: 'map-page', time: { dmaUs: 700, faultUs: 1700 } });
const leaky = result({
  strategy: 'iova-holes-one-destroy',
  time: { dmaUs: 60, faultUs: 1090 },
  warnings: 3,
  leakedEntries: 41,
  left: [{ kind: 'io page table leaf', count: 41, detail: '' }],
});

describe('answer', () => {
  it('names the cheapest right scheme and how much it saves', () => {
    expect(answer([slow, result({})])).toBe(
      'Use iova-packed: 70.0 us of mapping work per 2 MiB, 10.0 times less than map-page.',
    );
  });

  it('never recommends a scheme that leaks, however cheap, and says why', () => {
    expect(answer([result({}), leaky])).toBe(
      "Use iova-packed: 70.0 us of mapping work per 2 MiB, and do not use iova-holes-one-destroy, which leaves 41 pages within the device's reach after the unmap.",
    );
  });

  it('does not recommend a scheme that shows the device more than was asked', () => {
    const exposing = result({
      strategy: 'iova-dummy-fill',
      time: { dmaUs: 10, faultUs: 1000 },
      exposedPages: 9,
    });
    expect(answer([result({}), exposing])).toMatch(
      /^Use iova-packed: .* iova-dummy-fill shows the device up to 9 pages/,
    );
  });

  it('says so when the schemes cost the same', () => {
    expect(answer([result({}), result({ strategy: 'map-page' })])).toMatch(
      /iova-packed and map-page cost the same/,
    );
  });

  it('says that the choice makes no difference where nothing translates', () => {
    const direct = { exposedPages: null, linkCalls: 0, time: { dmaUs: 0, faultUs: 900 } };
    expect(answer([result(direct), result({ ...direct, strategy: 'map-page' })])).toMatch(
      /choice makes no difference\.$/,
    );
  });

  it('explains wrong data behind a bounce buffer', () => {
    const data = { pagesChecked: 9, mismatches: 2, firstMismatch: 'x' };
    expect(answer([result({ exposedPages: null, bouncedPages: 5, data })])).toMatch(
      /2 content checks, because .* bounce/,
    );
  });

  it('says so when none is right', () => {
    expect(answer([leaky])).toMatch(/^None of iova-holes-one-destroy is right on this memory/);
  });
});

describe('isRight', () => {
  it.each([
    ['something left', { left: [{ kind: 'folio', count: 1, detail: '' }] }],
    ['a warning', { warnings: 1 }],
    ['wrong data', { data: { pagesChecked: 1, mismatches: 1, firstMismatch: 'x' } }],
  ])('is false with %s', (_, more) => {
    expect(isRight(result(more))).toBe(false);
    expect(isRight(result({}))).toBe(true);
  });
});
