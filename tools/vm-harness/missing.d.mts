/** One sentence about what the tests in guests lack on this machine. */
export function describeMissing(env?: NodeJS.ProcessEnv): string;
