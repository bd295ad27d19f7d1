/**
 * What makes a run differ from the default order, in which a task goes on for as long as it can and then the one that
 * has waited longest takes over, and in which every choice is 0. So the schedule of an undisturbed run is empty, and
 * a schedule is as long as the run is strange.
 */
export interface Schedule {
  /** Steps, counted from 0, before which another task than the default takes over; ascending. */
  readonly switches: readonly Switch[];
  /** Choices, counted from 0, whose answer is not 0; ascending. */
  readonly choices: readonly ChoiceMade[];
}

/** Before step `step` the task with number `task` goes on. */
export interface Switch {
  readonly step: number;
  readonly task: number;
}

/** The answer to choice `index`. */
export interface ChoiceMade {
  readonly index: number;
  readonly value: number;
}

const SWITCH = /^(\d+):(\d+)$/;
const CHOICE = /^c(\d+)=(\d+)$/;

/** Deviations from the default order, by which schedules are compared. */
export function scheduleLength(schedule: Schedule): number {
  return schedule.switches.length + schedule.choices.length;
}

/** A schedule as one word: `4:2.9:1.c0=1` switches to task 2 before step 4; `-` is the default order. */
export function scheduleText(schedule: Schedule): string {
  const words = [
    ...schedule.switches.map(({ step, task }) => `${step}:${task}`),
    ...schedule.choices.map(({ index, value }) => `c${index}=${value}`),
  ];
  return words.length === 0 ? '-' : words.join('.');
}

/**
 * Read what {@link scheduleText} printed.
 *
 * @throws RangeError that names the part which is no step and no choice, or is out of order.
 */
export function parseSchedule(text: string): Schedule {
  const switches: Switch[] = [];
  const choices: ChoiceMade[] = [];
  if (text === '-') return { switches, choices };
  for (const word of text.split('.')) {
    const step = SWITCH.exec(word);
    const choice = CHOICE.exec(word);
    if (step !== null) {
      const made = { step: Number(step[1]), task: Number(step[2]) };
      if (switches.length > 0 && switches.at(-1)!.step >= made.step) throw disordered(word);
      switches.push(made);
    } else if (choice !== null) {
      const made = { index: Number(choice[1]), value: Number(choice[2]) };
      if (choices.length > 0 && choices.at(-1)!.index >= made.index) throw disordered(word);
      choices.push(made);
    } else {
      throw new RangeError(`'${word}' is no part of a schedule: expected STEP:TASK or cINDEX=VALUE`);
    }
  }
  return { switches, choices };
}

function disordered(word: string): RangeError {
  return new RangeError(`'${word}' is out of order in the schedule: steps and choices ascend`);
}
