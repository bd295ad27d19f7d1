import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const example = new URL(`readme-example-${process.pid}.ts`, import.meta.url);

describe('README.md', () => {
  afterEach(() => {
    rmSync(example, { force: true });
    vi.restoreAllMocks();
  });

  it('shows a search that prints what it says', async () => {
    const code = [...readme.matchAll(/```ts\n(.*?)```/gs)][1]![1]!;
    const claim = /^It prints `(.*)`\.$/m.exec(readme)![1]!;
    const lines: string[] = [];
    vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
    writeFileSync(example, code);
    await import(`${example.href}?search`);
    expect(lines).toEqual([claim]);
  });

  it('shows an example that runs and prints what it says', async () => {
    const code = /```ts\n(.*?)```/s.exec(readme)![1]!;
    const claim = /```\n(DeadlockError.*?)```/s.exec(readme)![1]!.trim();
    const lines: string[] = [];
    vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
    const print = async (source: string, version: number): Promise<string> => {
      lines.length = 0;
      writeFileSync(example, source);
      await import(`${example.href}?${version}`);
      return lines.join('\n');
    };
    expect(await print(code, 1)).toBe(claim);
    expect(await print(code.replace('seed: 1', 'seed: 3'), 3)).toBe('');
  });
});
