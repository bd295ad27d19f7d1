/**
 * The layers of gpusvm, lowest first. A package may import the packages that `below` lists, and no other.
 * This table is the authority; manifests, project references and turbo's tags are checked against it.
 */
const model = ['kernel', 'dma-iova', 'hmm', 'drm-pagemap', 'drm-gpusvm', 'xe-driver'];

/** Packages of tools/ that a `bench/` folder may import, as a devDependency. */
export const benchTools = Object.freeze(['bench']);

/** @type {Readonly<Record<string, readonly string[]>>} package folder to the folders it may import */
export const below = Object.freeze({
  ...Object.fromEntries(model.map((name, level) => [name, model.slice(0, level)])),
  'native-backend': ['kernel', 'dma-iova', 'hmm', 'drm-pagemap', 'drm-gpusvm'],
  sanitizer: model,
  lab: [...model, 'native-backend', 'sanitizer'],
});
