import { expect, test } from 'vitest';
import { parseGuestOutput } from '../src/guest-output.ts';

test("the command's output is what stands between the marks, the exit status is the command's", () => {
  const report = parseGuestOutput('GPUSVM-START 1.50\r\none\r\n\r\ntwo\r\n\r\nGPUSVM-EXIT 7 2.25\r\n');
  expect(report).toEqual({
    exitCode: 7,
    output: 'one\n\ntwo',
    failedSteps: [],
    startSeconds: 1.5,
    endSeconds: 2.25,
  });
});

test('output that does not end with a line feed keeps its last line, the mark is not glued to it', () => {
  expect(parseGuestOutput('GPUSVM-START 1.0\nno newline\nGPUSVM-EXIT 0 1.1\n').output).toBe('no newline');
});

test('a guest that died has no exit status and keeps what was printed', () => {
  const report = parseGuestOutput('GPUSVM-START 1.0\nlast words');
  expect([report.exitCode, report.endSeconds, report.output]).toEqual([null, null, 'last words']);
});

test('failed steps are listed, also before the start', () => {
  const report = parseGuestOutput('GPUSVM-FAILED insmod x.ko\nGPUSVM-START 1.0\nGPUSVM-EXIT 0 1.0\n');
  expect([report.failedSteps, report.output]).toEqual([['insmod x.ko'], '']);
});
