/** A requested option that the finished configuration has with another value. */
export interface ConfigMismatch {
  readonly option: string;
  readonly wanted: string;
  readonly got: string;
}

/** Options of a kernel configuration or fragment; `# CONFIG_X is not set` and an absent option are `n`. */
export function parseKernelConfig(text: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const line of text.split('\n')) {
    const set = /^(CONFIG_\w+)=(.*)$/.exec(line.trim());
    if (set !== null) options.set(set[1]!, set[2]!);
    const unset = /^# (CONFIG_\w+) is not set/.exec(line.trim());
    if (unset !== null) options.set(unset[1]!, 'n');
  }
  return options;
}

/**
 * What a fragment asks for and the configuration does not have. Kconfig drops an option with an unmet dependency
 * without a word, so a build that is not checked tests something else than it says.
 */
export function checkKernelConfig(fragment: string, config: string): ConfigMismatch[] {
  const got = parseKernelConfig(config);
  const mismatches: ConfigMismatch[] = [];
  for (const [option, wanted] of parseKernelConfig(fragment)) {
    const value = got.get(option) ?? 'n';
    if (value !== wanted) mismatches.push({ option, wanted, got: value });
  }
  return mismatches;
}
