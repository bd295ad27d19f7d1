/** The user asked for something that cannot be done: one clear sentence, exit code 2, nothing written. */
export class UserError extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = 'UserError';
  }
}
