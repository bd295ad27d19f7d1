/**
 * Almost every call is plain: whole pages, no attributes, fresh slots, and no rule can object to it. Such calls are
 * recognised in a few loads and entered into the ledger without asking the rules. A test turns this off and compares
 * the findings.
 */
export const QUICK: boolean = true;
