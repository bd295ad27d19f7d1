import { hex, type OracleModel } from './oracle-model.ts';
import type { OracleOp } from './oracle-op.ts';
import { ORACLE_SLOTS } from './program.ts';

function translation(model: OracleModel, iova: number): string {
  const phys = model.translate(iova);
  return phys === 0 ? 'none' : model.namePhys(iova, phys);
}

/** Everything that still translates among the noted ranges, as runs `iova+pages:phys` of one owner. */
function dump(model: OracleModel): string {
  const runs: string[] = [];
  let first = 0;
  let pages = 0;
  let phys = 0;
  let owner: ReturnType<OracleModel['ownerOf']> = 'nobody';
  const show = (): void => {
    if (pages > 0) runs.push(`${hex(first * 4096)}+${hex(pages)}:${model.namePhys(first * 4096, phys)}`);
    pages = 0;
  };
  let page = 0;
  for (const [low, high] of model.ranges.sort((a, b) => a[0] - b[0])) {
    for (page = Math.max(page, low); page <= high; page++) {
      const found = model.translate(page * 4096);
      const whose = model.ownerOf(page * 4096, found);
      // Nobody's memory may lie anywhere.
      const follows = phys + pages * 4096 === found || whose === 'nobody';
      if (found !== 0 && pages > 0 && first + pages === page && whose === owner && follows) {
        pages++;
        continue;
      }
      show();
      if (found !== 0) {
        first = page;
        pages = 1;
        phys = found;
        owner = whose;
      }
    }
  }
  show();
  return runs.length === 0 ? 'none' : runs.join(' ');
}

function op(count: number, call: OracleOp['call']): OracleOp {
  return { min: count, max: count, call };
}

/** Longer than any period of the flush queue: msleep(20) in the module. */
const WAIT_NS = 20e6;

/** Operations that look, and two that change the surroundings: report.c of the module. */
export const reportOps: Readonly<Record<string, OracleOp>> = {
  phys: op(1, (model, [iova]) => translation(model, iova!)),
  at: op(2, (model, [number, offset]) => {
    const slot = model.states[number! % ORACLE_SLOTS]!;
    return slot.allocated ? translation(model, slot.state.addr + offset!) : 'skip';
  }),
  dump: op(0, dump),
  tables: op(0, (model) => String(model.domain?.tables ?? 0)),
  domain: op(0, ({ domain }) => {
    if (domain === null) return 'skip';
    const sizes = domain.leafOrders.reduce((bitmap, order) => bitmap + 2 ** (order + 12), 0);
    return `${hex(sizes)} 0-${hex((domain.apertureLastPage + 1) * 4096 - 1)}`;
  }),
  fail: op(1, (model, [nth]) => {
    model.failNth = nth!;
    return 'ok';
  }),
  wait: op(0, (model) => {
    model.machine.clock.advance(WAIT_NS);
    // The model looks at its clock when it is called; the kernel's timers run now.
    model.dev.poll();
    return 'ok';
  }),
};
