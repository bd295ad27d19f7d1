import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';

test('the example of the README runs alone and prints what the README says', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const said = /```text\n([\s\S]*?)```/.exec(readme)![1]!;
  const file = new URL('./readme-example.generated.ts', import.meta.url);
  writeFileSync(
    file,
    code
      .replaceAll("'@gpusvm/hmm'", "'../src/index.ts'")
      .replaceAll("'@gpusvm/hmm/test-hmm'", "'../src/test-hmm/index.ts'"),
  );
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args) => void printed.push(args.join(' ')));
  try {
    await import(file.pathname);
  } finally {
    log.mockRestore();
    rmSync(file);
  }
  expect(`${printed.join('\n')}\n`).toBe(said);
});
