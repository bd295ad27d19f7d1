import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('the ten lines of the README do what they say', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(code).toBeDefined();
  const file = fileURLToPath(new URL('./readme-example.generated.ts', import.meta.url));
  writeFileSync(file, code!);
  try {
    const { result } = (await import(/* @vite-ignore */ file)) as { result: unknown };
    expect(result).toEqual([
      ['I6', 4096],
      ['I8', 4096],
      ['I29', 4096],
    ]);
  } finally {
    rmSync(file);
  }
});
