// One group of a scenario file: run-group.mjs <scenario file> <group> <seconds>
import { runGroup } from './ratios.mjs';

const [url, title, seconds] = process.argv.slice(2);
const { default: groups } = await import(url);
runGroup(
  groups.find((group) => group.title === title),
  Number(seconds),
);
