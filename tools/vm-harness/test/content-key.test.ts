import { expect, test } from 'vitest';
import { contentKey } from '../src/content-key.ts';

test('the key has 16 digits and depends on every part, not on their order', () => {
  const key = contentKey({ config: 'A', version: '1' });
  expect(key).toMatch(/^[0-9a-f]{16}$/);
  expect(contentKey({ version: '1', config: 'A' })).toBe(key);
  expect(contentKey({ config: 'B', version: '1' })).not.toBe(key);
  expect(contentKey({ config: 'A', version: '2' })).not.toBe(key);
});

test('text cannot move from one part to the next', () => {
  expect(contentKey({ a: 'xy', b: '' })).not.toBe(contentKey({ a: 'x', b: 'y' }));
  expect(contentKey({ a: 'x', ab: 'y' })).not.toBe(contentKey({ aa: 'x', b: 'y' }));
});
