import type { DmaRule } from '../../rule.ts';
import type { MappingView } from '../../shadow/mapping-view.ts';
import { LINKED, SYNCED } from '../../shadow/slot-flags.ts';
import { visitSlots } from '../../shadow/slot-visit.ts';

/**
 * I20. The caller owns the range while it maps it (generic_pt asks for a range lock), and updates of the bounce bit
 * of one state are serialised (it is set by a plain or-assignment). A mapping is under way from its link to its
 * sync: another task that touches the same slots, or bounces into the same state, in between, while the first can
 * still run, races with it. A task that waits for a lock or a completion does not run.
 */
export const RANGE_LOCK: DmaRule = {
  id: 'I20',
  name: 'RANGE_LOCK',
  statement: 'no two tasks map and unmap overlapping slots, or bounce into one state, at the same time',
  checks: {
    unlink(op, found) {
      const other = op.unsyncedOfOther;
      if (other === null) return;
      const { task } = other;
      if (!runs(found.machine.scheduler.tasks(), task)) return;
      found.report(RANGE_LOCK, op, `slots are unlinked while task ${found.taskName(task)} maps them`, {
        survivors: [found.mapping(op.device, other)],
      });
    },
    free(op, found) {
      const { device } = op;
      if (op.reservation === 0 || device.reservations.linked[op.reservation]! <= 0) return;
      const current = found.machine.scheduler.current?.id ?? 0;
      const tasks = found.machine.scheduler.tasks();
      let other: MappingView | null = null;
      visitSlots(device.slots, op.firstPage, op.pages, (page, _pages, flags, link) => {
        if (other !== null || (flags & (LINKED | SYNCED)) !== LINKED) return;
        const mapping = device.mapping(link, page);
        if (mapping.task !== current && runs(tasks, mapping.task)) other = mapping;
      });
      if (other === null) return;
      found.report(RANGE_LOCK, op, 'a reservation is freed while another task maps into it', {
        survivors: [found.mapping(device, other)],
      });
    },
    link(op, found) {
      if (!op.bounced || op.reservation === 0) return;
      const { mappings, reservations } = op.device;
      if (reservations.bounced[op.reservation] === 0 || reservations.syncs[op.reservation] !== 0) return;
      const current = found.machine.scheduler.current?.id ?? 0;
      let other = 0;
      mappings.forEach((id) => {
        if (mappings.reservation(id) !== op.reservation || !mappings.bounced(id)) return;
        if (mappings.task(id) !== current) other = id;
      });
      if (other === 0 || !runs(found.machine.scheduler.tasks(), mappings.task(other))) return;
      found.report(RANGE_LOCK, op, 'two tasks bounce into one state at the same time', {
        survivors: [found.mapping(op.device, op.device.record(other))],
      });
    },
  },
};

function runs(tasks: readonly { readonly id: number; readonly state: string }[], id: number): boolean {
  return tasks.some((task) => task.id === id && (task.state === 'runnable' || task.state === 'sleeping'));
}
