/** Run checks one after the other; the last line is `N passed, N failed`, and the exit code says whether all passed. */
export function report(checks) {
  let failed = 0;
  for (const { name, run } of checks) {
    try {
      run();
    } catch (error) {
      failed++;
      process.stdout.write(`FAIL ${name}\n  ${error.message.replaceAll('\n', '\n  ')}\n`);
    }
  }
  process.stdout.write(`${checks.length - failed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}
