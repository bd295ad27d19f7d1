// SPDX-License-Identifier: GPL-2.0
/* What a driver says of its device: masks and limits. */
#include "oracle.h"

#define DEFAULT_MASK DMA_BIT_MASK(40)
#define DEFAULT_SEGMENT 0x10000
#define DEFAULT_BOUNDARY DMA_BIT_MASK(32)

/* As for a device that has just appeared, but for its mask of 40 bits. */
int oracle_default_settings(struct oracle_run *run)
{
	dma_set_min_align_mask(run->dev, 0);
	dma_set_max_seg_size(run->dev, DEFAULT_SEGMENT);
	dma_set_seg_boundary(run->dev, DEFAULT_BOUNDARY);
	return dma_set_mask_and_coherent(run->dev, DEFAULT_MASK);
}

static void op_mask(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_say(run, "%d", dma_set_mask_and_coherent(run->dev, DMA_BIT_MASK(a[0])));
}

static void op_min_align(struct oracle_run *run, const u64 *a, unsigned int n)
{
	dma_set_min_align_mask(run->dev, a[0]);
	oracle_say(run, "ok");
}

static void op_max_segment(struct oracle_run *run, const u64 *a, unsigned int n)
{
	dma_set_max_seg_size(run->dev, a[0]);
	oracle_say(run, "ok");
}

/* boundary mask */
static void op_boundary(struct oracle_run *run, const u64 *a, unsigned int n)
{
	dma_set_seg_boundary(run->dev, a[0]);
	oracle_say(run, "ok");
}

static void op_limits(struct oracle_run *run, const u64 *a, unsigned int n)
{
	oracle_say(run, "%lx %zx %zx %x %lx", dma_get_merge_boundary(run->dev), dma_opt_mapping_size(run->dev),
		   dma_max_mapping_size(run->dev), dma_get_max_seg_size(run->dev), dma_get_seg_boundary(run->dev));
}

const struct oracle_op oracle_settings_ops[] = {
	{ "mask", 1, 1, op_mask },
	{ "min_align", 1, 1, op_min_align },
	{ "max_segment", 1, 1, op_max_segment },
	{ "boundary", 1, 1, op_boundary },
	{ "limits", 0, 0, op_limits },
	{},
};
