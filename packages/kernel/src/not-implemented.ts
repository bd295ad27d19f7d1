/** A path of the kernel that this model does not have yet. It is listed in the package's README. */
export class NotImplemented extends Error {
  constructor(what: string) {
    super(`not implemented: ${what}`);
    this.name = 'NotImplemented';
  }
}
