import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, expect, it, vi } from 'vitest';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const example = new URL(`readme-example-${process.pid}.ts`, import.meta.url);

afterEach(() => {
  rmSync(example, { force: true });
  vi.restoreAllMocks();
});

it('the example of the README prints what the README says', async () => {
  const code = /```ts\n(.*?)```/s.exec(readme)![1]!;
  const claim = /It prints\n\n```\n(.*?)```/s.exec(readme)![1]!.trim();
  const lines: string[] = [];
  vi.spyOn(console, 'log').mockImplementation((...words: unknown[]) => void lines.push(words.join(' ')));
  writeFileSync(example, code);
  await import(example.href);
  expect(lines.join('\n')).toBe(claim);
});
