# Touches every third page of 48 MiB, and one page in each 64 KiB of another 512 MiB.
import mmap, sys, time
dense = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, 48 << 20, 3 * 4096):
    dense[at] = 1
wide = mmap.mmap(-1, 512 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for at in range(0, 512 << 20, 65536):
    wide[at] = 1
print('ready', flush=True)
time.sleep(600)
