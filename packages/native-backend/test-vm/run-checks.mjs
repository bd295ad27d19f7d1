/** Run checks one after the other: how many passed, and a text for each that did not. */
export function runChecks(checks) {
  const failures = [];
  for (const { name, run } of checks) {
    try {
      run();
    } catch (error) {
      failures.push(`${name}\n  ${error.message.replaceAll('\n', '\n  ')}`);
    }
  }
  return { passed: checks.length - failures.length, failures };
}
