import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { shippedCaptures } from '../../src/capture/shipped.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
// Each call starts a Node process, some of which simulate a whole capture.
vi.setConfig({ testTimeout: 60_000 });

const folder = mkdtempSync(join(tmpdir(), 'gpusvm-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function gpusvm(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { code: status, out: stdout, err: stderr };
}

const sparse = shippedCaptures().find(({ name }) => name === 'sparse')!.file;

/** What bad input gets: at most three lines on standard error (the sentence, a hint, where help is), exit code 2, nothing printed, nothing written. */
function refusal(...args: string[]): {
  code: number | null;
  out: string;
  lines: number;
  wrote: string[];
  err: string;
} {
  const before = readdirSync(folder);
  const { code, out, err } = gpusvm(...args);
  const wrote = readdirSync(folder).filter((file) => !before.includes(file));
  return { code, out, lines: err.trim().split('\n').length, wrote, err };
}

/** A refusal with this sentence. */
function refused(sentence: RegExp): object {
  return {
    code: 2,
    out: '',
    lines: expect.toSatisfy((n: number) => n <= 3),
    wrote: [],
    err: expect.stringMatching(sentence),
  };
}

describe('gpusvm', () => {
  it('explains itself and every command with --help', () => {
    expect(gpusvm('--help').out).toMatch(/capture[\s\S]*compare[\s\S]*demo/);
    for (const command of ['capture', 'compare', 'bugs', 'check', 'demo', 'doctor']) {
      const { code, out } = gpusvm(command, '--help');
      expect(code).toBe(0);
      expect(out).toContain(`Usage: gpusvm ${command}`);
    }
  });

  it('refuses a command that does not exist', () => {
    expect(refusal('compair')).toEqual(refused(/unknown command 'compair'/));
  });
});

describe('gpusvm compare', () => {
  it('refuses a strategy that does not exist and lists those that do', () => {
    expect(refusal('compare', '--capture', sparse, '--strategies', 'map-page,iova-magic')).toEqual(
      refused(/strategy is one of map-page, iova-dummy-fill, .*, not 'iova-magic'/),
    );
  });

  it('refuses a strategy named twice', () => {
    expect(refusal('compare', '--capture', sparse, '--strategies', 'map-page,map-page')).toEqual(
      refused(/names a strategy twice/),
    );
  });

  it('refuses an IOMMU mode, a fault size, a kernel and a seed that do not exist', () => {
    expect(refusal('compare', '--capture', sparse, '--iommu', 'on')).toEqual(
      refused(/none, strict, lazy, swiotlb, not 'on'/),
    );
    expect(refusal('compare', '--capture', sparse, '--fault', '1G')).toEqual(
      refused(/2M, 64K, 4K, not '1G'/),
    );
    expect(refusal('compare', '--capture', sparse, '--kernel', 'linux-5.0')).toEqual(
      refused(/linux-7.3.*not 'linux-5.0'/),
    );
    expect(refusal('compare', '--capture', sparse, '--seed', '1.5')).toEqual(
      refused(/whole number from 0 to 2147483647, not '1.5'/),
    );
  });

  it('wants exactly one memory', () => {
    expect(refusal('compare')).toEqual(refused(/exactly one of --capture FILE, --pid N and --live/));
    expect(refusal('compare', '--live', '--capture', sparse)).toEqual(refused(/exactly one of/));
  });

  it('refuses a file that is not there, a folder, a truncated and a corrupt capture', () => {
    expect(refusal('compare', '--capture', 'missing.gsvm')).toEqual(refused(/missing\.gsvm/));
    expect(refusal('compare', '--capture', '.')).toEqual(refused(/\./));
    const bytes = readFileSync(sparse);
    writeFileSync(join(folder, 'short.gsvm'), bytes.subarray(0, bytes.length >> 1));
    expect(refusal('compare', '--capture', 'short.gsvm')).toEqual(refused(/short\.gsvm/));
    bytes[bytes.length >> 1]! ^= 0x40;
    writeFileSync(join(folder, 'bad.gsvm'), bytes);
    expect(refusal('compare', '--capture', 'bad.gsvm')).toEqual(refused(/bad\.gsvm/));
  });

  it.runIf(process.platform === 'linux')('refuses a process that does not exist', () => {
    expect(refusal('compare', '--pid', '4194304')).toEqual(refused(/process 4194304/));
    expect(refusal('compare', '--pid', '0')).toEqual(refused(/a pid is a whole number from 1/));
  });

  it('prints a table and one sentence for a capture', () => {
    const { code, out, err } = gpusvm('compare', '--capture', sparse);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/iova-packed/);
    expect(out.trim().split('\n').at(-1)).toMatch(/^Use iova-.*\.$/);
  });

  it('prints the same JSON bytes twice', () => {
    const args = ['compare', '--capture', sparse, '--strategies', 'map-page,iova-packed', '--json'];
    const first = gpusvm(...args);
    expect(first.code).toBe(0);
    expect(gpusvm(...args).out).toBe(first.out);
    expect(JSON.parse(first.out).results).toHaveLength(2);
  });
});

describe('gpusvm bugs', () => {
  it('lists the catalogue, and replays one bug as expected in every mode', () => {
    const listed = gpusvm('bugs', '--json');
    expect(listed.code).toBe(0);
    expect(listed.out).toContain('"P12"');
    const { code, out, err } = gpusvm('bugs', 'g1');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('I9');
  });

  it('refuses a bug that is not in the catalogue', () => {
    expect(refusal('bugs', 'Z99')).toEqual(refused(/no bug 'Z99'; gpusvm bugs lists them all/));
  });
});

describe('gpusvm check', () => {
  const write = (name: string, lines: readonly string[]): string => {
    writeFileSync(join(folder, name), `${lines.join('\n')}\n`);
    return name;
  };
  const RACE = [
    'scenario race',
    'device d0 private',
    'A open d0',
    'A mmap buf 1 rw',
    'A write buf 1',
    'race',
    'thread device',
    'A d0 read buf = 1 or EFAULT',
    'thread unmap',
    'A munmap buf',
    'end',
  ];

  it('runs a scenario once, and a race under every schedule, and says in what the outcomes differ', () => {
    const single = write('single.litmus', ['scenario single', 'A mmap buf 1 rw', 'A read buf = 0']);
    const { code, out } = gpusvm('check', single, write('race.litmus', RACE));
    expect(code).toBe(0);
    expect(out).toMatch(
      /^single holds on 7\.3\nrace holds on 7\.3: \d+ schedules, 2 outcomes\n {2}\d+ schedules, such as -:\n {4}line 8: A d0 read buf = 1\n {2}\d+ schedules, such as [\d:.]+:\n {4}line 8: A d0 read buf = EFAULT\n$/,
    );
  });

  it('names the schedule that breaks a demand, which shows it again step by step', () => {
    const file = write('wrong.litmus', RACE.with(7, 'A d0 read buf = 1'));
    const { code, out } = gpusvm('check', file);
    expect(code).toBe(1);
    expect(out).toContain('FAILED line 8: A d0 read buf = 1, but came out EFAULT');
    const [, schedule] = /gpusvm check wrong\.litmus --kernel 7\.3 --schedule (\S+)/.exec(out)!;
    const again = gpusvm('check', file, '--schedule', schedule!);
    expect(again.code).toBe(1);
    expect(again.out).toContain('line 10: A munmap buf = ok\nline 8: A d0 read buf = EFAULT\n');
    expect(gpusvm('check', file, '--schedule', '-').code).toBe(0);
  });

  it('prints the same JSON bytes twice, with every outcome', () => {
    const file = write('race.litmus', RACE);
    const [one, two] = [gpusvm('check', file, '--json'), gpusvm('check', file, '--json')];
    expect(one.out).toBe(two.out);
    const { results } = JSON.parse(one.out) as {
      results: { verdict: string; schedules: number; outcomes: { schedules: number }[] }[];
    };
    expect(results[0]!.verdict).toBe('holds');
    expect(results[0]!.outcomes.reduce((sum, o) => sum + o.schedules, 0)).toBe(results[0]!.schedules);
  });

  it('stops where it is told and says that there is more, and passes over what is for another kernel', () => {
    expect(gpusvm('check', write('race.litmus', RACE), '--most', '3').out).toMatch(
      /^race holds on 7\.3: 3 schedules, and there are more, \d outcomes?\n/,
    );
    const old = write('old.litmus', ['scenario old', 'kernel 6.12', 'A mmap buf 1 rw']);
    expect(gpusvm('check', old)).toMatchObject({
      code: 0,
      out: "old is not for 7.3: its file says 'kernel 6.12'\n",
    });
  });

  it('refuses a file that is not there or no scenario, a schedule that is none, and two files for one schedule', () => {
    const good = write('race.litmus', RACE);
    expect(refusal('check', 'nowhere.litmus')).toEqual(refused(/cannot read nowhere\.litmus: ENOENT/));
    const typo = write('typo.litmus', ['scenario typo', 'A mmap buf 1 rx']);
    expect(refusal('check', good, typo)).toEqual(refused(/typo\.litmus, line 2: .*'rx'/));
    expect(refusal('check', good, '--schedule', '4;2')).toEqual(refused(/'4;2' is no part of a schedule/));
    expect(refusal('check', good, good, '--schedule', '-')).toEqual(refused(/one file, not for 2/));
    expect(refusal('check', good, '--kernel', '5.4')).toEqual(
      refused(/a kernel is one of 6\.12, .* not '5\.4'/),
    );
  });
});

describe.runIf(process.platform === 'linux')('gpusvm capture', () => {
  it('writes a capture of a live process that compare reads, and no path of it', () => {
    const { code, out } = gpusvm('capture', '--pid', String(process.pid), '-o', 'self.gsvm', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).memory.pages).toBeGreaterThan(1000);
    const compared = gpusvm('compare', '--capture', 'self.gsvm', '--strategies', 'iova-packed', '--json');
    expect(compared.code).toBe(0);
    expect(JSON.parse(compared.out).results[0].data.mismatches).toBe(0);
  });

  it('refuses a process that does not exist and writes nothing', () => {
    expect(refusal('capture', '--pid', '4194304', '-o', 'none.gsvm')).toEqual(refused(/process 4194304/));
  });

  it('refuses a note that does not fit and writes nothing', () => {
    const note = refusal(
      'capture',
      '--pid',
      String(process.pid),
      '-o',
      'long.gsvm',
      '--note',
      'x'.repeat(5000),
    );
    expect(note).toEqual(refused(/a note has at most 4096 bytes, not 5000/));
  });

  it('refuses a file that cannot be written', () => {
    expect(refusal('capture', '--pid', String(process.pid), '-o', 'no/such/folder.gsvm')).toEqual(
      refused(/no\/such\/folder\.gsvm/),
    );
  });
});

describe('gpusvm doctor', () => {
  it('reports every check as JSON, and its exit code says whether devices can be used', () => {
    const { code, out } = gpusvm('doctor', '--json');
    const report = JSON.parse(out) as { checks: { id: string; status: string }[]; ready: boolean };
    expect(report.checks.map(({ id }) => id)).toContain('iommufd');
    expect(code).toBe(report.ready ? 0 : 1);
  });

  it('ends with one sentence for people', () => {
    const lines = gpusvm('doctor').out.trimEnd().split('\n');
    expect(lines.at(-1)).toMatch(/^(This machine can|Not yet:|Almost:)/);
  });

  it('refuses a device that is not there', () => {
    expect(refusal('doctor', '--device', 'ffff:ff:1f.7')).toEqual(refused(/no PCI device 'ffff:ff:1f\.7'/));
  });
});

describe('gpusvm compare --backend native', () => {
  it('asks for a device, refuses one that is not there and modes that do not translate', () => {
    const native = ['compare', '--capture', sparse, '--backend', 'native'];
    expect(refusal(...native)).toEqual(refused(/--backend native needs --device/));
    expect(refusal(...native, '--device', 'ffff:ff:1f.7')).toEqual(refused(/no PCI device/));
    expect(refusal(...native, '--iommu', 'none', '--device', 'ffff:ff:1f.7')).toEqual(
      refused(/strict or lazy/),
    );
    expect(refusal('compare', '--capture', sparse, '--device', 'ffff:ff:1f.7')).toEqual(
      refused(/--device needs --backend native/),
    );
  });
});
