/** Blocks of one allocation, in the order in which they cover it. */
export class BuddyBlocks {
  /** First page of each block. */
  readonly offsetPage: number[] = [];
  /** log2 of its pages. */
  readonly order: number[] = [];

  /** Pages in all blocks. */
  get pages(): number {
    return this.order.reduce((sum, order) => sum + 2 ** order, 0);
  }

  /** @internal */
  push(offsetPage: number, order: number): void {
    this.offsetPage.push(offsetPage);
    this.order.push(order);
  }

  /** @internal */
  clear(): void {
    this.offsetPage.length = 0;
    this.order.length = 0;
  }
}

/** One run of pages, as `DrmBuddy.alloc` gives it. */
export class DrmBuddyBlock {
  /** First page. */
  readonly offsetPages: number;
  readonly pages: number;
  /** @internal several when the size is no power of two. */
  readonly blocks: BuddyBlocks;

  constructor(blocks: BuddyBlocks) {
    this.offsetPages = blocks.offsetPage[0]!;
    this.pages = blocks.pages;
    this.blocks = blocks;
  }
}
