/** A scenario text that cannot be understood; says where and what to do. */
export class ScenarioError extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.name = 'ScenarioError';
    this.line = line;
  }
}
