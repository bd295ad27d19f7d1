import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { loadCapture } from '../../src/capture/capture-file.ts';
import { captureTotals } from '../../src/capture/capture-totals.ts';
import { shippedCaptures } from '../../src/capture/shipped.ts';

const README = readFileSync(new URL('../../captures/README.md', import.meta.url), 'utf8');

/** Rows of the totals table by capture: cells without the name. */
const rows: ReadonlyMap<string, readonly string[]> = new Map(
  README.split('\n').flatMap((line) => {
    const [, name, ...cells] = line.split('|').map((cell) => cell.trim());
    return name?.endsWith('.gsvm`') === true ? [[name.slice(1, -6), cells.slice(0, -1)] as const] : [];
  }),
);

test('the README tells of each shipped capture and of no other', () => {
  expect([...rows.keys()].sort()).toEqual(shippedCaptures().map(({ name }) => name));
  expect(rows.size).toBeGreaterThanOrEqual(5);
});

for (const { name, file } of shippedCaptures()) {
  test(`the capture ${name} decodes to the totals that the README tells, and holds no names`, () => {
    const capture = loadCapture(file);
    const totals = captureTotals(capture);
    const { pages, vmas, runs, holes, holePages, orders, pmdMappedPages, contiguityPages } = totals;
    const byOrder = [0, 2, 4, 9].map((order) => orders[order] ?? 0);
    const cells = [pages, vmas, runs, holes, holePages, ...byOrder, pmdMappedPages].map(String);
    expect(rows.get(name)).toEqual([...cells, contiguityPages.toFixed(2)]);
    expect(byOrder.reduce((sum, count) => sum + count)).toBe(pages);
    expect(capture.vmas.some((vma) => vma.name !== undefined)).toBe(false);
    expect(Object.keys(capture.info)).toEqual(['kernel']);
    expect(readFileSync(file).length).toBeLessThan(60_000);
  });
}
