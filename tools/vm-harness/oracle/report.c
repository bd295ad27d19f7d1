// SPDX-License-Identifier: GPL-2.0
/* Operations that look: translations and table pages; and the two that change the surroundings. */
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sort.h>

#include "oracle.h"

/* A value below the size of the test memory is an offset in it, any other one is an address, at least NAMED. */
phys_addr_t oracle_phys(struct oracle_run *run, u64 value)
{
	return value < ORACLE_MEMORY ? run->memory + value : value;
}

void oracle_note_range(struct oracle_run *run, u64 first_byte, u64 size)
{
	struct oracle_range *range;

	if (run->range_count == ORACLE_RANGES)
		return;
	range = &run->ranges[run->range_count++];
	range->first = first_byte >> PAGE_SHIFT;
	range->last = (first_byte + max_t(u64, size, 1) - 1) >> PAGE_SHIFT;
}

/*
 * Page-table pages of all IOMMU domains; other devices are quiet while programs run. The worker that moves the share of a
 * processor into the sum must not come between the two.
 */
long oracle_table_pages(struct oracle_run *run)
{
	pg_data_t *node = NODE_DATA(0);
	long pages;
	int cpu;

	preempt_disable();
	pages = atomic_long_read(&node->vm_stat[NR_SECONDARY_PAGETABLE]);
	for_each_online_cpu(cpu)
		pages += per_cpu_ptr(node->per_cpu_nodestats, cpu)->vm_node_stat_diff[NR_SECONDARY_PAGETABLE];
	preempt_enable();
	return pages;
}

#define TEST_MEMORY (-1)
#define ELSEWHERE (-2)
#define NOBODY (-3)
#define POOL (-4)
#define FOUR_GIB (1ULL << 32)
/* Above all memory; what the padding of a scatter list maps behind the test memory stays below. */
#define NAMED (1ULL << 37)

/*
 * Whose memory a translation leads to: the bounce pool, the test memory, the coherent memory of a slot (its number) at the place that its
 * address says, an address that the program named, or nobody's: memory that was coherent once.
 */
static int owner_of(struct oracle_run *run, u64 iova, phys_addr_t phys)
{
	u64 offset;
	int i;

	if (phys >= NAMED)
		return ELSEWHERE;
	if (oracle_in_pool(run, phys, &offset))
		return POOL;
	if (phys - run->memory < ORACLE_MEMORY || phys >= FOUR_GIB)
		return TEST_MEMORY;
	for (i = 0; i < ORACLE_MAPPINGS; i++) {
		struct oracle_mapping *m = &run->mappings[i];

		if (m->cpu && iova - m->addr < PAGE_ALIGN(m->size) && phys - m->phys == iova - m->addr)
			return i;
	}
	return NOBODY;
}

static void say_phys(struct oracle_run *run, u64 iova, phys_addr_t phys)
{
	int owner = owner_of(run, iova, phys);
	u64 offset = 0;

	if (oracle_in_pool(run, phys, &offset))
		oracle_say(run, "b%llx", offset);
	else if (owner == TEST_MEMORY)
		oracle_say(run, "p%llx", phys - run->memory);
	else if (owner == ELSEWHERE)
		oracle_say(run, "%llx", phys);
	else if (owner == NOBODY)
		oracle_say(run, "x");
	else
		oracle_say(run, "c%x+%llx", owner, phys - run->mappings[owner].phys);
}

/* A DMA address; without translation it is a physical one, and says so. */
void oracle_say_address(struct oracle_run *run, dma_addr_t addr)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);

	if (domain && (domain->type & __IOMMU_DOMAIN_PAGING))
		oracle_say(run, "%llx", addr);
	else
		say_phys(run, addr, addr);
}

static phys_addr_t translate(struct oracle_run *run, u64 iova)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);

	return domain && (domain->type & __IOMMU_DOMAIN_PAGING) ? iommu_iova_to_phys(domain, iova) : 0;
}

static void say_translation(struct oracle_run *run, u64 iova)
{
	phys_addr_t phys = translate(run, iova);

	if (phys)
		say_phys(run, iova, phys);
	else
		oracle_say(run, "none");
}

/* phys iova */
static void op_phys(struct oracle_run *run, const u64 *a, unsigned int n)
{
	say_translation(run, a[0]);
}

/* at state offset: the translation of a reservation's byte */
static void op_at(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = &run->states[a[0] % ORACLE_STATES];

	if (state->allocated)
		say_translation(run, state->iova.addr + a[1]);
	else
		oracle_say(run, "skip");
}

static int by_first(const void *a, const void *b)
{
	const struct oracle_range *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* A run of pages that translate to neighbours of one owner, or to nobody's memory: where that lies is chance. */
struct stretch {
	u64 first;
	u64 pages;
	phys_addr_t phys;
	int owner;
	unsigned int shown;
};

static void show_stretch(struct oracle_run *run, struct stretch *s)
{
	if (s->pages) {
		oracle_say(run, "%s%llx+%llx:", s->shown++ ? " " : "", s->first << PAGE_SHIFT, s->pages);
		say_phys(run, s->first << PAGE_SHIFT, s->phys);
	}
	s->pages = 0;
}

/* dump: everything that still translates, as iova+pages:phys */
static void op_dump(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct stretch s = {};
	u64 page = 0;
	unsigned int i;

	sort(run->ranges, run->range_count, sizeof(run->ranges[0]), by_first, NULL);
	for (i = 0; i < run->range_count; i++) {
		for (page = max(page, run->ranges[i].first); page <= run->ranges[i].last; page++) {
			phys_addr_t phys = translate(run, page << PAGE_SHIFT);
			int owner = owner_of(run, page << PAGE_SHIFT, phys);
			bool follows = s.phys + (s.pages << PAGE_SHIFT) == phys || owner == NOBODY;

			if (phys && s.pages && s.first + s.pages == page && s.owner == owner && follows) {
				s.pages++;
				continue;
			}
			show_stretch(run, &s);
			if (phys)
				s = (struct stretch){ page, 1, phys, owner, s.shown };
		}
	}
	show_stretch(run, &s);
	if (!s.shown)
		oracle_say(run, "none");
}

static void op_tables(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_say(run, "%ld", oracle_table_pages(run) - run->tables_at_start);
}

/* domain: page sizes and aperture */
static void op_domain(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);

	if (domain && (domain->type & __IOMMU_DOMAIN_PAGING))
		oracle_say(run, "%lx %llx-%llx", domain->pgsize_bitmap, (u64)domain->geometry.aperture_start,
			   (u64)domain->geometry.aperture_end);
	else
		oracle_say(run, "skip");
}

/*
 * Twice the flush queue's period of 10 ms. While softirqs are off the timer wheel's clock stands still, and what is armed
 * then may fire late by an eighth of that time.
 */
static void op_wait(struct oracle_run *run, const u64 *a, unsigned int n)
{
	unsigned int quiet_ms = jiffies_to_msecs(jiffies - run->quiet_since);

	oracle_set_quiet(run, false);
	msleep(20 + quiet_ms / 4);
	oracle_set_quiet(run, true);
	oracle_say(run, "ok");
}

/* fail n: the n-th table page that the next link or iommu_map asks for is not to be had */
static void op_fail(struct oracle_run *run, const u64 *a, unsigned int n)
{
	run->fail_nth = a[0];
	oracle_say(run, "ok");
}

const struct oracle_op oracle_report_ops[] = {
	{ "fail", 1, 1, op_fail },
	{ "phys", 1, 1, op_phys },
	{ "at", 2, 2, op_at },
	{ "dump", 0, 0, op_dump },
	{ "tables", 0, 0, op_tables },
	{ "domain", 0, 0, op_domain },
	{ "wait", 0, 0, op_wait },
	{},
};
