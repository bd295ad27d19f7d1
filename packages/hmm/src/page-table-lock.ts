/**
 * A page-table lock (pmd_lock, include/linux/mm.h): a spinlock. A step of the model is atomic, so nobody ever waits for
 * it and it keeps nobody out; it is here for its balance.
 */
export class PageTableLock {
  #locked = false;

  /** Take the lock (spin_lock). Taking it twice throws: it would spin for ever. */
  lock(): void {
    if (this.#locked) throw new Error('page-table lock taken twice');
    this.#locked = true;
  }

  /** Release the lock (spin_unlock); throws when it is not held. */
  unlock(): void {
    if (!this.#locked) throw new Error('page-table lock released but not held');
    this.#locked = false;
  }
}
