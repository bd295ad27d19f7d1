import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test, vi } from 'vitest';

const program = new URL('readme-program.ts', import.meta.url);

afterAll(() => rmSync(program, { force: true }));

test('the program of the README prints what the README says', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!;
  const [, output] = /```text\n([\s\S]*?)```/.exec(readme)!;
  const lines: string[] = [];
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...words: unknown[]) => void lines.push(words.join(' ')));
  writeFileSync(program, code!);
  await import(/* @vite-ignore */ program.href);
  log.mockRestore();
  expect(lines.join('\n')).toBe(output!.trim());
});
