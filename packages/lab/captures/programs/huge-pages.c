/* 160 MiB with MADV_HUGEPAGE in parts: whole, every second 2 MiB written in part by 4K, and one with DONTNEED holes. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define MB (1UL << 20)
static char *area(size_t bytes, int huge) {
  char *p = mmap(0, bytes + 2 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  p = (char *)(((uintptr_t)p + 2 * MB - 1) & ~(2 * MB - 1));
  madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return p;
}
int main(void) {
  char *whole = area(64 * MB, 1), *mixed = area(48 * MB, 1), *holes = area(32 * MB, 1), *small = area(32 * MB, 0);
  memset(whole, 1, 64 * MB);
  madvise(mixed, 48 * MB, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < 24; i++) { /* odd 2 MiB parts: three 4K pages of four; even parts: one huge page */
    char *part = mixed + i * 2 * MB;
    if (i % 2 == 0) { madvise(part, 2 * MB, MADV_HUGEPAGE); part[0] = 1; }
    else for (size_t page = 0; page < 512; page++) if (page % 4 != 3) part[page * 4096] = 1;
  }
  memset(holes, 1, 32 * MB);
  for (size_t i = 0; i < 16; i++) /* holes inside huge pages leave the rest of the folio mapped by PTEs */
    for (size_t hole = 0; hole < i; hole++) madvise(holes + i * 2 * MB + hole * 32 * 4096 + 4096, 8 * 4096, MADV_DONTNEED);
  for (size_t page = 0; page < 32 * MB / 4096; page++) if ((page / 64) % 3 != 0) small[page * 4096] = 1;
  puts("ready"); fflush(stdout);
  pause();
  return 0;
}
