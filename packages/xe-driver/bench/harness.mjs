/**
 * Run alternatives in turn, one short iteration each, and take the 10th percentile of each (guide: means wander).
 *
 * @param {{ name: string, run: () => void }[]} alternatives
 * @param {number} seconds
 * @returns {{ name: string, us: number }[]}
 */
export function compare(alternatives, seconds) {
  const samples = alternatives.map(() => []);
  for (const { run } of alternatives) for (let i = 0; i < 50; i++) run();
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    alternatives.forEach(({ run }, i) => {
      const start = performance.now();
      run();
      samples[i].push(performance.now() - start);
    });
  }
  return alternatives.map(({ name }, i) => {
    const sorted = samples[i].sort((a, b) => a - b);
    return { name, us: sorted[Math.floor(sorted.length / 10)] * 1000 };
  });
}

/** @param {string} title @param {{ name: string, us: number }[]} rows */
export function print(title, rows) {
  console.log(title);
  for (const { name, us } of rows) console.log(`  ${name.padEnd(56)} ${us.toFixed(2).padStart(9)} us`);
}
