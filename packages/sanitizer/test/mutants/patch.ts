import type { DmaDevice } from '@gpusvm/dma-iova';
import type { IommuDomain } from '@gpusvm/dma-iova';

/** Replace one function of an object, as a live patch does; the replacement gets the original. */
export function patch<T extends object, K extends keyof T>(
  object: T,
  name: K,
  make: (original: T[K]) => T[K],
): void {
  const original = object[name];
  const bound = typeof original === 'function' ? (original.bind(object) as T[K]) : original;
  Object.defineProperty(object, name, { value: make(bound), configurable: true, writable: true });
}

/** The domain of a translated device. */
export function domainOf(dev: DmaDevice): IommuDomain {
  if (dev.domain === null) throw new Error(`${dev.name} is not translated`);
  return dev.domain;
}
