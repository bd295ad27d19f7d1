/* 64 KiB folios (mTHP) over 96 MiB, 24 MiB of small pages, then holes of every size punched with MADV_DONTNEED. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define MB (1UL << 20)
int main(void) {
  char *p = mmap(0, 120 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  madvise(p, 96 * MB, MADV_HUGEPAGE);
  uint32_t state = 1;
  for (size_t chunk = 0; chunk < 1920; chunk++) { /* 64 KiB chunks, two of three touched */
    state = state * 1664525 + 1013904223;
    if ((state >> 16) % 3 != 0) p[chunk * 65536 + (state >> 20) % 16 * 4096] = 1;
  }
  for (size_t hole = 0; hole < 500; hole++) {
    state = state * 1664525 + 1013904223;
    size_t page = (state >> 8) % (120 * 256 - 64), pages = 1 + (state >> 4) % 24;
    madvise(p + page * 4096, pages * 4096, MADV_DONTNEED);
  }
  puts("ready"); fflush(stdout);
  pause();
  return 0;
}
