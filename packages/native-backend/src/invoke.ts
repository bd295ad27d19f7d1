import type { Call } from './uapi/call.ts';
import { decode, encoded, type Input, type Values } from './uapi/layout.ts';
import type { Sys } from './sys.ts';

/** Result of a call: what the ioctl returned, and the structure as the kernel left it. */
export interface Answer<C extends Call> {
  /** Not negative, or a negated errno. */
  readonly result: number;
  readonly out: Values<C['fields']>;
}

/**
 * Issue a call with its structure; the size field is set to the structure's size unless given.
 *
 * @param values - fields by name; the others are 0.
 */
export function invoke<C extends Call>(sys: Sys, fd: number, call: C, values: Input<C['fields']>): Answer<C> {
  const argument = argumentOf(call, values);
  const result = sys.ioctl(fd, call.request, argument);
  return { result, out: decode(call.fields as C['fields'], argument) };
}

/** {@link invoke} in another thread. */
export async function invokeAsync<C extends Call>(
  sys: Sys,
  fd: number,
  call: C,
  values: Input<C['fields']>,
): Promise<Answer<C>> {
  const argument = argumentOf(call, values);
  const result = await sys.ioctlAsync(fd, call.request, argument);
  return { result, out: decode(call.fields as C['fields'], argument) };
}

function argumentOf<C extends Call>(call: C, values: Input<C['fields']>): Uint8Array {
  const argument = encoded(call.fields as C['fields'], values);
  const view = new DataView(argument.buffer);
  if (view.getUint32(0, true) === 0) view.setUint32(0, argument.length, true);
  return argument;
}
