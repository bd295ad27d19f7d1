/**
 * Alternating short iterations, p10, ratio in one run: repeats within about 1 % under load, where means wander.
 *
 * Every case is `{ name, ops, run }`; one call of `run` does `ops` operations and should take about 10 us.
 */
export function compare(cases, seconds = 1) {
  const samples = cases.map(() => []);
  for (let warm = 0; warm < 300; warm++) for (const c of cases) c.run();
  const end = process.hrtime.bigint() + BigInt(Math.round(seconds * 1e9));
  while (process.hrtime.bigint() < end) {
    for (let i = 0; i < cases.length; i++) {
      const t0 = process.hrtime();
      cases[i].run();
      const [s, ns] = process.hrtime(t0);
      samples[i].push(s * 1e9 + ns);
    }
  }
  return cases.map((c, i) => {
    const sorted = samples[i].sort((a, b) => a - b);
    return { name: c.name, ns: sorted[Math.floor(sorted.length / 10)] / c.ops };
  });
}

export function print(title, rows, unit = 'ns') {
  console.log(`\n${title}`);
  const base = rows[0].ns;
  for (const { name, ns } of rows) {
    const value = unit === 'us' ? `${(ns / 1000).toFixed(2)} us` : `${ns.toFixed(1)} ns`;
    console.log(`  ${name.padEnd(52)} ${value.padStart(10)}   ${(ns / base).toFixed(2)}x`);
  }
}
