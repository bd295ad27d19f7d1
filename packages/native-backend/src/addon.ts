import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** @internal What `native/*.c` exports. Results are not negative, or a negated errno. */
export interface Addon {
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  ioctlAsync(fd: number, request: number, argument: Uint8Array): Promise<number>;
  poll(fd: number, timeoutMs: number): number;
  pollAsync(fd: number, timeoutMs: number): Promise<number>;
  eventfd(): number;
  memfd(lengthBytes: number): number;
  mmap(
    lengthBytes: number,
    prot: number,
    flags: number,
    fd: number,
    offsetBytes: number,
  ): { readonly buffer: ArrayBuffer; readonly handle: object; readonly address: bigint } | number;
  munmap(handle: object, buffer: ArrayBuffer): number;
  madvise(handle: object, advice: number): number;
  read(handle: object, offsetBytes: number, bits: number): number | bigint;
  write(handle: object, offsetBytes: number, bits: number, value: number | bigint): void;
}

/** Why there is no addon, for programs and for people. */
export interface AddonUnavailable {
  readonly available: false;
  /** `platform`: not Linux. `binary`: none for this machine. `load`: it is there and does not load. */
  readonly reason: 'platform' | 'binary' | 'load';
  /** One sentence that says what to do. */
  readonly message: string;
}

/** @internal The addon, or why there is none. */
export type AddonResult = { readonly available: true; readonly addon: Addon } | AddonUnavailable;

/** @internal What the decision depends on; tests pass their own. */
export interface AddonHost {
  readonly platform: string;
  readonly arch: string;
  /** Finds and loads the binary (node-gyp-build); throws as `require` does. */
  readonly load: () => unknown;
}

/** @internal */
export function loadAddon(host: AddonHost = thisHost()): AddonResult {
  if (host.platform !== 'linux') {
    return unavailable(
      'platform',
      `iommufd exists on Linux only and this is ${host.platform}: use SimSys here`,
    );
  }
  try {
    return { available: true, addon: host.load() as Addon };
  } catch (error) {
    const why = error instanceof Error ? error.message.split('\n', 1)[0]! : String(error);
    if (why.startsWith('No native build was found')) {
      return unavailable(
        'binary',
        `there is no prebuilt addon for linux-${host.arch}: build it with 'node native/build.mjs' in this package (needs cc and node-api-headers), or use SimSys`,
      );
    }
    return unavailable('load', `the prebuilt addon for linux-${host.arch} does not load: ${why}`);
  }
}

function unavailable(reason: AddonUnavailable['reason'], message: string): AddonUnavailable {
  return { available: false, reason, message };
}

function thisHost(): AddonHost {
  const require = createRequire(import.meta.url);
  return {
    platform: process.platform,
    arch: process.arch,
    load: () => {
      const find = require('node-gyp-build') as (dir: string) => unknown;
      return find(fileURLToPath(new URL('..', import.meta.url)));
    },
  };
}
