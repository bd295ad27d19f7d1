export { UmemOdp, type UmemOdpOptions, type UmemUnmap } from './umem-odp.ts';
