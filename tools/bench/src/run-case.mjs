// The program that valgrind counts: run-case.mjs <scenario file> <group> <case> <runs>
const [url, title, name, runs] = process.argv.slice(2);
const { default: groups } = await import(url);
const found = groups.find((group) => group.title === title)?.cases.find((one) => one.name === name);
if (found === undefined) throw new Error(`there is no case ${name} in a group ${title} of ${url}`);
const made = found.setup();
const { prepare, run } = typeof made === 'function' ? { prepare: undefined, run: made } : made;
for (let i = 0; i < Number(runs); i++) {
  prepare?.();
  run();
}
