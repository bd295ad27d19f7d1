// SPDX-License-Identifier: GPL-2.0
/* dma_sync_*. */
#include "oracle.h"

static struct oracle_mapping *mapping_of(struct oracle_run *run, u64 number, u64 dir, bool is_list)
{
	struct oracle_mapping *mapping = &run->mappings[number % ORACLE_MAPPINGS];

	if (mapping->mapped && !mapping->cpu && !!mapping->sg.sgl == is_list && dir <= DMA_FROM_DEVICE)
		return mapping;
	oracle_say(run, "skip");
	return NULL;
}

/* sync_cpu mapping offset size dir */
static void op_sync_cpu(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0], a[3], false);

	if (!mapping)
		return;
	dma_sync_single_for_cpu(run->dev, mapping->addr + a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

static void op_sync_device(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0], a[3], false);

	if (!mapping)
		return;
	dma_sync_single_for_device(run->dev, mapping->addr + a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

/* sync_sg_cpu mapping dir */
static void op_sync_sg_cpu(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0], a[1], true);

	if (!mapping)
		return;
	dma_sync_sgtable_for_cpu(run->dev, &mapping->sg, a[1]);
	oracle_say(run, "ok");
}

static void op_sync_sg_device(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_mapping *mapping = mapping_of(run, a[0], a[1], true);

	if (!mapping)
		return;
	dma_sync_sgtable_for_device(run->dev, &mapping->sg, a[1]);
	oracle_say(run, "ok");
}

const struct oracle_op oracle_sync_ops[] = {
	{ "sync_cpu", 4, 4, op_sync_cpu },
	{ "sync_device", 4, 4, op_sync_device },
	{ "sync_sg_cpu", 2, 2, op_sync_sg_cpu },
	{ "sync_sg_device", 2, 2, op_sync_sg_device },
	{},
};
