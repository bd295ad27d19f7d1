import { expect, test } from 'vitest';
import { cacheFolder } from '../src/cache-folder.ts';

test('the cache is in XDG_CACHE_HOME, else in .cache of the home folder', () => {
  expect(cacheFolder({ XDG_CACHE_HOME: '/var/cache/me' }, '/home/me')).toBe('/var/cache/me/gpusvm');
  expect(cacheFolder({}, '/home/me')).toBe('/home/me/.cache/gpusvm');
});

test('an empty or relative XDG_CACHE_HOME is ignored, as the specification asks', () => {
  expect(cacheFolder({ XDG_CACHE_HOME: '' }, '/home/me')).toBe('/home/me/.cache/gpusvm');
  expect(cacheFolder({ XDG_CACHE_HOME: 'cache' }, '/home/me')).toBe('/home/me/.cache/gpusvm');
});
