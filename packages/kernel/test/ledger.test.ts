import { describe, expect, it } from 'vitest';
import { done, Ledger, type LiveItem, Machine } from '../src/index.ts';

describe('Ledger', () => {
  it('lists what the owners report as alive, in order of registration', () => {
    const ledger = new Ledger();
    let folios = 2;
    const items = (kind: string, count: number): LiveItem[] => [{ kind, count, detail: 'some' }];
    ledger.register(() => items('folio', folios));
    ledger.register(() => items('iova', 1));
    expect(ledger.live().map((i) => `${i.kind} ${i.count}`)).toEqual(['folio 2', 'iova 1']);
    folios = 0;
    expect(ledger.live()).toEqual(items('iova', 1));
  });

  it('reports the tasks of a machine that have not ended', () => {
    const machine = new Machine();
    machine.spawn(done(0), 'a');
    machine.spawn(done(0), 'b');
    expect(machine.ledger.live()).toEqual([{ kind: 'task', count: 2, detail: 'a, b' }]);
    machine.drain();
    expect(machine.ledger.live()).toEqual([]);
  });
});
