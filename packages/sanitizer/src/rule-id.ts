/** Number of an invariant of specification `dma-iova`, section 2. */
export type RuleId = `I${number}`;
