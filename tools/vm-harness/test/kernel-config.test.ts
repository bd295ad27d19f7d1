import { expect, test } from 'vitest';
import { KERNEL_VERSIONS, kernelConfigText } from '../src/kernel-build.ts';
import { checkKernelConfig, parseKernelConfig } from '../src/kernel-config.ts';

test('a value, a quoted value and a disabled option are read, comments are not', () => {
  const options = parseKernelConfig('CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="-x"\n# CONFIG_D=y\n');
  expect([...options]).toEqual([
    ['CONFIG_A', 'y'],
    ['CONFIG_B', 'n'],
    ['CONFIG_C', '"-x"'],
  ]);
});

test('an option that was dropped, changed or enabled against the wish is found', () => {
  const fragment = 'CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D=y\n';
  expect(checkKernelConfig(fragment, 'CONFIG_B=y\nCONFIG_C=y\nCONFIG_D=y\n')).toEqual([
    { option: 'CONFIG_A', wanted: 'y', got: 'n' },
    { option: 'CONFIG_B', wanted: 'm', got: 'y' },
    { option: 'CONFIG_C', wanted: 'n', got: 'y' },
  ]);
});

test('an absent option satisfies "is not set"', () => {
  expect(checkKernelConfig('# CONFIG_A is not set\n', '')).toEqual([]);
});

const NEEDED = [
  'IOMMUFD',
  'IOMMUFD_TEST',
  'VFIO_PCI',
  'INTEL_IOMMU',
  'AMD_IOMMU',
  'VIRTIO_IOMMU',
  'IRQ_REMAP',
  'TEST_HMM',
  'DEVICE_PRIVATE',
  'HMM_MIRROR',
  'TRANSPARENT_HUGEPAGE',
  'SWAP',
  'USERFAULTFD',
  'DEBUG_FS',
];

test.each(KERNEL_VERSIONS)(
  'the configuration of %s asks for what the tests need, and for no dma-debug',
  (version) => {
    const options = parseKernelConfig(kernelConfigText(version));
    expect(NEEDED.filter((name) => options.get(`CONFIG_${name}`) !== 'y')).toEqual([]);
    expect([options.get('CONFIG_BLK_DEV_NVME'), options.get('CONFIG_DMA_API_DEBUG')]).toEqual(['m', 'n']);
  },
);
