interface UnlinkedTable {
  readonly firstPage: number;
  readonly endPage: number;
  /** The caches of upper-level entries have forgotten it. */
  invalidated: boolean;
}

/** Table pages of one domain that are out of the tree and not freed yet. */
export class TableShadow {
  readonly #tables = new Map<number, UnlinkedTable>();

  /** Tables that wait. */
  get waiting(): number {
    return this.#tables.size;
  }

  /** A table was taken out of the tree. */
  unlink(table: number, firstPage: number, pages: number): void {
    this.#tables.set(table, { firstPage, endPage: firstPage + pages, invalidated: false });
  }

  /** A range was invalidated with its upper-level entries. */
  invalidate(firstPage: number, endPage: number): void {
    for (const t of this.#tables.values())
      if (t.firstPage >= firstPage && t.endPage <= endPage) t.invalidated = true;
  }

  /** Everything was invalidated. */
  clear(): void {
    for (const t of this.#tables.values()) t.invalidated = true;
  }

  /**
   * A table reaches the allocator.
   *
   * @returns what it translated, when a cache may still lead to it; otherwise null.
   */
  free(table: number): { readonly firstPage: number; readonly pages: number } | null {
    const t = this.#tables.get(table);
    if (t === undefined) return null;
    this.#tables.delete(table);
    return t.invalidated ? null : { firstPage: t.firstPage, pages: t.endPage - t.firstPage };
  }
}
