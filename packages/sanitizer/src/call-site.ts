/** Where a call of the DMA API came from. */
export interface CallSite {
  /** Outermost function of the DMA layer on the stack, for instance `dmaIovaDestroy`; empty when there is none. */
  readonly api: string;
  /** File, line and column of its caller, without the folders above the file's own; empty when unknown. */
  readonly site: string;
}

const FRAME = /^\s*at (?:async )?(?:(?:new )?([\w$.#<>[\] ]+?) \()?(.*?):(\d+):(\d+)\)?$/;
const DMA_LAYER = /[\\/]dma-iova[\\/](?:src|dist)[\\/]/;
const OURS = /[\\/](?:sanitizer|kernel)[\\/](?:src|dist)[\\/]/;
const DEPTH = 40;
/** V8's own property, which the standard types lack. */
const v8 = Error as ErrorConstructor & { stackTraceLimit: number };

/**
 * Read the stack: which function of the DMA layer is running, and who called it. A few microseconds; used for
 * reports, and for every mapping when call sites are captured.
 */
export function callSite(): CallSite {
  const limit = v8.stackTraceLimit;
  v8.stackTraceLimit = DEPTH;
  const lines = (new Error().stack ?? '').split('\n');
  v8.stackTraceLimit = limit;
  let api = '';
  for (const line of lines) {
    const frame = FRAME.exec(line);
    if (frame === null) continue;
    const [, name = '', path = '', row = '', column = ''] = frame;
    if (DMA_LAYER.test(path)) {
      // Called through a table it reads `Object.dmaIovaFree [as free]`.
      api = name.replace(/ \[as .*$/, '').replace(/^.*\./, '');
    } else if (!OURS.test(path)) {
      return { api, site: `${path.slice(path.search(/[^\\/]*[\\/][^\\/]*$/))}:${row}:${column}` };
    }
  }
  return { api, site: '' };
}
