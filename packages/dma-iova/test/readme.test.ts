import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';

it("the README's example runs and prints what the README says", async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const source = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const file = new URL('./readme-example.tmp.ts', import.meta.url);
  writeFileSync(file, source.replace("'@gpusvm/dma-iova'", "'../src/index.ts'"));
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    await import(/* @vite-ignore */ file.href);
    expect(log.mock.calls).toEqual([
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
  } finally {
    log.mockRestore();
    rmSync(file);
  }
});
