import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MM_RULES } from '@gpusvm/sanitizer';
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

test('the example of the explorer finds what the README says', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)][1]?.[1];
  const file = fileURLToPath(new URL('./readme-explorer.generated.ts', import.meta.url));
  writeFileSync(file, code!);
  try {
    const { found } = (await import(/* @vite-ignore */ file)) as { found: unknown };
    expect(found).toEqual(['the counter is 1, not 2', '1:2', true]);
  } finally {
    rmSync(file);
  }
});

test('the README lists every rule on mm as it is', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  for (const { id, name, statement } of MM_RULES)
    expect(readme).toContain(`| ${id} | ${name} | ${statement} |`);
});
