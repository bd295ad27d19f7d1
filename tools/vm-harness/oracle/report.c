// SPDX-License-Identifier: GPL-2.0
/* Operations that look: translations, table pages, limits; and the two that change the surroundings. */
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/sort.h>

#include "oracle.h"

/* A value below the size of the test memory is an offset in it, any other one is an address. */
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

/* Page-table pages of all IOMMU domains; other devices are quiet while programs run. */
long oracle_table_pages(struct oracle_run *run)
{
	pg_data_t *node = NODE_DATA(0);
	long pages = atomic_long_read(&node->vm_stat[NR_SECONDARY_PAGETABLE]);
	int cpu;

	for_each_online_cpu(cpu)
		pages += per_cpu_ptr(node->per_cpu_nodestats, cpu)->vm_node_stat_diff[NR_SECONDARY_PAGETABLE];
	return pages;
}

#define TEST_MEMORY (-1)
#define ELSEWHERE (-2)

/* Whose memory it is: the test memory, coherent memory of a slot (its number), or another. */
static int owner_of(struct oracle_run *run, phys_addr_t phys)
{
	int i;

	if (phys - run->memory < ORACLE_MEMORY)
		return TEST_MEMORY;
	for (i = 0; i < ORACLE_MAPPINGS; i++) {
		struct oracle_mapping *m = &run->mappings[i];

		if (m->size && phys - m->phys < PAGE_ALIGN(m->size))
			return i;
	}
	return ELSEWHERE;
}

static void say_phys(struct oracle_run *run, phys_addr_t phys)
{
	int owner = owner_of(run, phys);

	if (owner == TEST_MEMORY)
		oracle_say(run, "p%llx", phys - run->memory);
	else if (owner == ELSEWHERE)
		oracle_say(run, "%llx", phys);
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
		say_phys(run, addr);
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
		say_phys(run, phys);
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

/* A run of pages that translate to neighbours of one owner: where coherent memory lies is chance. */
struct stretch {
	u64 first;
	u64 pages;
	phys_addr_t phys;
	unsigned int shown;
};

static void show_stretch(struct oracle_run *run, struct stretch *s)
{
	if (s->pages) {
		oracle_say(run, "%s%llx+%llx:", s->shown++ ? " " : "", s->first << PAGE_SHIFT, s->pages);
		say_phys(run, s->phys);
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

			if (s.pages && s.first + s.pages == page && s.phys + (s.pages << PAGE_SHIFT) == phys &&
			    owner_of(run, s.phys) == owner_of(run, phys)) {
				s.pages++;
				continue;
			}
			show_stretch(run, &s);
			if (phys) {
				s.first = page;
				s.pages = 1;
				s.phys = phys;
			}
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

static void op_limits(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_say(run, "%lx %zx %zx %x %lx", dma_get_merge_boundary(run->dev), dma_opt_mapping_size(run->dev),
		   dma_max_mapping_size(run->dev), dma_get_max_seg_size(run->dev), dma_get_seg_boundary(run->dev));
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

static void op_mask(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_say(run, "%d", dma_set_mask_and_coherent(run->dev, DMA_BIT_MASK(a[0])));
}

/* Twice the flush queue's period of 10 ms. */
static void op_wait(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_set_quiet(run, false);
	msleep(20);
	oracle_set_quiet(run, true);
	oracle_say(run, "ok");
}

const struct oracle_op oracle_report_ops[] = {
	{ "phys", 1, 1, op_phys },
	{ "at", 2, 2, op_at },
	{ "dump", 0, 0, op_dump },
	{ "tables", 0, 0, op_tables },
	{ "limits", 0, 0, op_limits },
	{ "domain", 0, 0, op_domain },
	{ "mask", 1, 1, op_mask },
	{ "wait", 0, 0, op_wait },
	{},
};
