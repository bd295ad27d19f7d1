// SPDX-License-Identifier: GPL-2.0
/* dma_map_*, dma_unmap_*, dma_alloc_coherent. A mapping that failed is skipped by its unmap. */
#include <linux/mm.h>

#include "oracle.h"

static struct oracle_mapping *mapping_of(struct oracle_run *run, u64 number)
{
	return &run->mappings[number % ORACLE_MAPPINGS];
}

/* The kernel stops at a direction that does not exist (BUG_ON), so do we before it. */
static bool is_direction(struct oracle_run *run, u64 dir)
{
	if (dir <= DMA_FROM_DEVICE)
		return true;
	oracle_say(run, "skip");
	return false;
}

static bool is_mappable(struct oracle_run *run, u64 size, u64 dir)
{
	if (!oracle_is_unbounceable(run, size))
		return is_direction(run, dir);
	oracle_say(run, "skip");
	return false;
}

/* The place for a new mapping; an old one there is forgotten, but coherent memory has to be freed first. */
static struct oracle_mapping *claim(struct oracle_run *run, u64 number)
{
	struct oracle_mapping *mapping = mapping_of(run, number);

	if (mapping->cpu) {
		oracle_say(run, "skip");
		return NULL;
	}
	sg_free_table(&mapping->sg);
	memset(mapping, 0, sizeof(*mapping));
	return mapping;
}

static void say_mapping(struct oracle_run *run, struct oracle_mapping *mapping, dma_addr_t addr, u64 size)
{
	mapping->mapped = !dma_mapping_error(run->dev, addr);
	mapping->addr = addr;
	if (!mapping->mapped) {
		oracle_say(run, "error");
		return;
	}
	oracle_note_range(run, addr, size);
	oracle_say_address(run, addr);
}

static void op_map_phys(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = is_mappable(run, a[2], a[3]) ? claim(run, a[0]) : NULL;

	if (mapping)
		say_mapping(run, mapping, dma_map_phys(run->dev, oracle_phys(run, a[1]), a[2], a[3], a[4]), a[2]);
}

static void op_map_page(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = is_mappable(run, a[2], a[3]) ? claim(run, a[0]) : NULL;
	phys_addr_t phys = oracle_phys(run, a[1]);
	struct page *page = pfn_to_page(PHYS_PFN(phys));

	if (mapping)
		say_mapping(run, mapping,
			    dma_map_page_attrs(run->dev, page, offset_in_page(phys), a[2], a[3], a[4]), a[2]);
}

static void op_map_resource(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = is_mappable(run, a[2], a[3]) ? claim(run, a[0]) : NULL;

	if (mapping)
		say_mapping(run, mapping, dma_map_resource(run->dev, oracle_phys(run, a[1]), a[2], a[3], a[4]), a[2]);
}

/* The mapping to undo; says why when there is none. */
static struct oracle_mapping *to_unmap(struct oracle_run *run, u64 number, u64 dir)
{
	struct oracle_mapping *mapping = mapping_of(run, number);

	if (!is_direction(run, dir))
		return NULL;
	if (mapping->mapped && !mapping->cpu && !mapping->sg.sgl)
		return mapping;
	oracle_say(run, "skip");
	return NULL;
}

static void op_unmap_phys(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = to_unmap(run, a[0], a[2]);

	if (!mapping)
		return;
	dma_unmap_phys(run->dev, mapping->addr, a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

static void op_unmap_page(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = to_unmap(run, a[0], a[2]);

	if (!mapping)
		return;
	dma_unmap_page_attrs(run->dev, mapping->addr, a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

static void op_unmap_resource(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = to_unmap(run, a[0], a[2]);

	if (!mapping)
		return;
	dma_unmap_resource(run->dev, mapping->addr, a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

/* map_sg mapping dir attrs (phys size)...: results are the DMA segments, as address+length. */
static void op_map_sg(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping;
	unsigned int count = (n - 3) / 2;
	struct scatterlist *segment;
	unsigned int i;
	int err;

	for (i = 0; i < count; i++)
		if (!is_mappable(run, a[4 + 2 * i], a[1]))
			return;
	mapping = claim(run, a[0]);
	if (!mapping)
		return;
	if (sg_alloc_table(&mapping->sg, count, GFP_ATOMIC)) {
		oracle_say(run, "no memory");
		return;
	}
	for_each_sgtable_sg(&mapping->sg, segment, i) {
		phys_addr_t phys = oracle_phys(run, a[3 + 2 * i]);

		sg_set_page(segment, pfn_to_page(PHYS_PFN(phys)), a[4 + 2 * i], offset_in_page(phys));
	}
	err = dma_map_sgtable(run->dev, &mapping->sg, a[1], a[2]);
	if (err) {
		oracle_say(run, "%d", err);
		sg_free_table(&mapping->sg);
		return;
	}
	mapping->mapped = true;
	oracle_say(run, "%u", mapping->sg.nents);
	for_each_sgtable_dma_sg(&mapping->sg, segment, i) {
		oracle_note_range(run, sg_dma_address(segment), sg_dma_len(segment));
		oracle_say(run, " ");
		oracle_say_address(run, sg_dma_address(segment));
		oracle_say(run, "+%x", sg_dma_len(segment));
	}
}

static void op_unmap_sg(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0]);

	if (!is_direction(run, a[1]))
		return;
	if (!mapping->mapped || !mapping->sg.sgl) {
		oracle_say(run, "skip");
		return;
	}
	dma_unmap_sgtable(run->dev, &mapping->sg, a[1], a[2]);
	sg_free_table(&mapping->sg);
	mapping->mapped = false;
	oracle_say(run, "ok");
}

static void op_coherent(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = claim(run, a[0]);

	if (!mapping)
		return;
	mapping->cpu = dma_alloc_coherent(run->dev, a[1], &mapping->addr, GFP_ATOMIC | __GFP_NOWARN);
	mapping->mapped = mapping->cpu;
	if (!mapping->cpu) {
		oracle_say(run, "error");
		return;
	}
	mapping->phys = virt_to_phys(mapping->cpu);
	mapping->size = a[1];
	oracle_note_range(run, mapping->addr, a[1]);
	oracle_say_address(run, mapping->addr);
}

void oracle_free_coherent(struct oracle_run *run, struct oracle_mapping *mapping)
{
	if (!mapping->cpu)
		return;
	dma_free_coherent(run->dev, mapping->size, mapping->cpu, mapping->addr);
	mapping->cpu = NULL;
	mapping->mapped = false;
}

static void op_free_coherent(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0]);

	if (!mapping->cpu) {
		oracle_say(run, "skip");
		return;
	}
	oracle_free_coherent(run, mapping);
	oracle_say(run, "ok");
}

const struct oracle_op oracle_classic_ops[] = {
	{ "map_phys", 5, 5, op_map_phys },
	{ "unmap_phys", 4, 4, op_unmap_phys },
	{ "map_page", 5, 5, op_map_page },
	{ "unmap_page", 4, 4, op_unmap_page },
	{ "map_resource", 5, 5, op_map_resource },
	{ "unmap_resource", 4, 4, op_unmap_resource },
	{ "map_sg", 5, ORACLE_ARGS, op_map_sg },
	{ "unmap_sg", 3, 3, op_unmap_sg },
	{ "coherent", 2, 2, op_coherent },
	{ "free_coherent", 1, 1, op_free_coherent },
	{},
};
