import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import * as api from '../src/index.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

async function printed(example: number): Promise<unknown[][]> {
  const source = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)][example]![1]!;
  const file = new URL(`./readme-example-${example}.tmp.ts`, import.meta.url);
  writeFileSync(file, source.replace("'@gpusvm/dma-iova'", "'../src/index.ts'"));
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    await import(/* @vite-ignore */ file.href);
    return log.mock.calls;
  } finally {
    log.mockRestore();
    rmSync(file);
  }
}

describe('the README', () => {
  it('has a first example that runs and prints what it says', async () => {
    expect(await printed(0)).toEqual([
      [
        [
          [true, 70],
          [true, 71],
          [true, 72],
        ],
      ],
      [false, 70],
      [['10 physical page']],
    ]);
  });

  it('has a second example that runs and prints what it says', async () => {
    expect(await printed(1)).toEqual([[0, 1]]);
  });

  it('names every function and class that the package exports', () => {
    const names = Object.entries(api)
      .filter(([, value]) => typeof value === 'function')
      .map(([name]) => name)
      .filter((name) => name !== 'dmaCounters');
    expect(names.filter((name) => !readme.includes(`\`${name}`))).toEqual([]);
  });
});
