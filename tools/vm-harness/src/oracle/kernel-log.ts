import type { OracleBackend, OracleModel } from './oracle-model.ts';

/** Where the kernel warns, for a warning of the model. */
interface KernelPlace {
  /** Function that the kernel's log names; static functions are inlined into the one that is named. */
  readonly function: string | Readonly<Record<OracleBackend, string>>;
  /** Text of a WARN that has one; it comes before the place. */
  readonly text?: (model: OracleModel, message: string) => string;
  /** The kernel only says so: a message, no warning. */
  readonly isMessage?: boolean;
  /** Why the model's name of the place is another one than the kernel's. */
  readonly reason?: string;
}

const ONE_NAME = 'the loop is inlined: the log does not tell it from the short unmap of the same function';

/** The model's warnings that programs can reach, by site, and the same in the log of Linux 7.3.4. */
export const KERNEL_PLACES: Readonly<Record<string, KernelPlace>> = {
  'dma_iova_try_alloc: size 0': { function: 'dma_iova_try_alloc' },
  'dma_iova_try_alloc: size with flag bit': { function: 'dma_iova_try_alloc' },
  'dma_iova_link: unaligned': { function: 'dma_iova_link' },
  'dma_iova_link: bounced': { function: 'dma_iova_link' },
  'dma_iova_unlink: unmapped != requested': {
    function: 'dma_iova_unlink',
    reason: 'destroy unlinks through the exported function: its warnings are those of unlink',
  },
  'iommu_dma_iova_unlink_range_slow: no translation': { function: 'dma_iova_unlink', reason: ONE_NAME },
  '__iommu_dma_unmap: unmapped != requested': { function: '__iommu_dma_unmap' },
  'iommu_dma_unmap_phys: no translation': { function: 'iommu_dma_unmap_phys' },
  'iommu_map: no permission': {
    function: { vtd: 'vtdss_map_range', amdv1: 'amdv1_map_range' },
    reason: 'generic_pt compiles the check once a format, under the name of the format',
  },
  'iova_magazine_free_pfns: no such range': { function: 'iova_magazine_free_pfns' },
  'dma_direct_map_phys: overflow': {
    function: 'dma_direct_map_phys',
    text: ({ dev }) =>
      `DMA addr <addr> overflow (mask ${(2 ** dev.dmaMaskBits - 1).toString(16)}, bus limit 0).`,
  },
  'swiotlb_map: overflow': {
    function: 'swiotlb_map',
    text: ({ dev }) =>
      `swiotlb addr <addr> overflow (mask ${(2 ** dev.dmaMaskBits - 1).toString(16)}, bus limit 0).`,
  },
  'swiotlb_bounce: overflow': {
    function: 'swiotlb_bounce',
    text: (_, message) => message.replace(/^.*?: /, ''),
  },
  '__iommu_dma_map: alignment': {
    function: '__iommu_dma_map',
    text: () => 'Unsupported alignment constraint',
  },
  'iommu_dma_map_swiotlb: inactive': {
    function: 'iommu_dma_map_swiotlb',
    text: () => 'DMA bounce buffers are inactive, unable to map unaligned transaction.',
    isMessage: true,
  },
};

/** Whether the kernel warns where the model does, and not only says something. */
export function isWarning(site: string): boolean {
  return KERNEL_PLACES[site]?.isMessage !== true;
}

/** How the module notes a warning of the model; a site that the table lacks is shown, so that it is noticed. */
export function kernelNote(site: string, message: string, model: OracleModel): string {
  const place = KERNEL_PLACES[site];
  if (place === undefined) return `[no place for "${site}"]`;
  const name = typeof place.function === 'string' ? place.function : place.function[model.backend];
  const text = place.text === undefined ? [] : [`"${place.text(model, message)}"`];
  return [...text, ...(isWarning(site) ? [`[${name}]`] : [])].join(' ');
}

/** generic_pt's own assertions (DEBUG_GENERIC_PT), which an ordinary kernel does not have. */
const ASSERTIONS = / !\d+( \[__map_range(_leaf)?\])+$/;

/** A transcript's line without what differs between machines: assertions, the device's name, where its memory is. */
export function withoutMachine(line: string): string {
  return line
    .replace(ASSERTIONS, '')
    .replaceAll('"gpusvm_oracle 0000:00:04.0: ', '"')
    .replaceAll(/ addr 0x[0-9a-f]+\+\d+ /g, ' addr <addr> ');
}

/** The result of a line without the notes from the log. */
export function withoutNotes(line: string): string {
  return line.replace(/ ["[].*$/, '');
}
