import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, expect, test, vi } from 'vitest';
import { BEHAVIOUR_ROWS } from '../src/contract/behaviour-contract.ts';

const program = new URL('readme-program.ts', import.meta.url);
const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

afterAll(() => rmSync(program, { force: true }));

test('the program of the README prints what the README says', async () => {
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readme)!;
  const [, output] = /```text\n([\s\S]*?)```/.exec(readme)!;
  const lines: string[] = [];
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...words: unknown[]) => void lines.push(words.join(' ')));
  writeFileSync(program, code!.replace("'@gpusvm/native-backend'", "'../src/index.ts'"));
  await import(/* @vite-ignore */ program.href);
  log.mockRestore();
  expect(lines.join('\n')).toBe(output!.trim());
});

test('the README counts the behaviour rows', () => {
  expect(readme).toContain(`${BEHAVIOUR_ROWS.length} rows`);
});
