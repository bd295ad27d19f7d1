// Maps and unmaps until it is killed. Part of faults.mjs. Loads what it needs only: it starts often, in a slow guest.
//   node killed-child.mjs NVME USER
import { Iommufd } from '../dist/iommufd.js';
import { linuxSys } from '../dist/sys-addon.js';
import { VfioDevice } from '../dist/vfio-device.js';

const { sys } = linuxSys();
const [nvme, user] = process.argv.slice(2);
// Not before: the files of the package need not be everybody's.
process.setgid(Number(user));
process.setuid(Number(user));
const iommufd = Iommufd.open(sys);
const ioas = iommufd.allocIoas();
VfioDevice.open(iommufd, nvme).attach(ioas);
const memory = sys.mmap({ lengthBytes: 4 << 20 });
process.stdout.write('mapping\n');
for (;;) {
  for (let i = 0; i < 64; i++)
    ioas.map({ memory, offsetBytes: i * 65536, lengthBytes: 65536, iova: 0x2000000 + i * 65536 });
  ioas.unmap(0x2000000, 4 << 20);
}
