// SPDX-License-Identifier: GPL-2.0
/* dma_iova_*. A state that no try_alloc has filled is skipped: the calls would work on IOVA 0. */
#include "oracle.h"

static struct oracle_state *state_of(struct oracle_run *run, u64 number)
{
	struct oracle_state *state = &run->states[number % ORACLE_STATES];

	if (state->allocated)
		return state;
	oracle_say(run, "skip");
	return NULL;
}

static void op_alloc(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = &run->states[a[0] % ORACLE_STATES];

	state->allocated = dma_iova_try_alloc(run->dev, &state->iova, oracle_phys(run, a[1]), a[2]);
	oracle_say(run, "%d %llx %zx", state->allocated, state->iova.addr, dma_iova_size(&state->iova));
}

static void op_link(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = state_of(run, a[0]);
	int err;

	if (!state)
		return;
	if (oracle_is_unbounceable(run, a[3])) {
		oracle_say(run, "skip");
		return;
	}
	oracle_note_range(run, state->iova.addr + a[2], a[3] + PAGE_SIZE);
	oracle_arm(run);
	err = dma_iova_link(run->dev, &state->iova, oracle_phys(run, a[1]), a[2], a[3], a[4], a[5]);
	oracle_disarm();
	oracle_say(run, "%d", err);
}

static void op_sync(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = state_of(run, a[0]);

	if (state)
		oracle_say(run, "%d", dma_iova_sync(run->dev, &state->iova, a[1], a[2]));
}

static void op_unlink(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = state_of(run, a[0]);

	if (!state)
		return;
	dma_iova_unlink(run->dev, &state->iova, a[1], a[2], a[3], a[4]);
	oracle_say(run, "ok");
}

static void op_free(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = state_of(run, a[0]);

	if (!state)
		return;
	dma_iova_free(run->dev, &state->iova);
	oracle_say(run, "ok");
}

static void op_destroy(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct oracle_state *state = state_of(run, a[0]);

	if (!state)
		return;
	dma_iova_destroy(run->dev, &state->iova, a[1], a[2], a[3]);
	oracle_say(run, "ok");
}

static void op_state(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct dma_iova_state *iova = &run->states[a[0] % ORACLE_STATES].iova;

	oracle_say(run, "%d %llx %zx %d", dma_use_iova(iova), iova->addr, dma_iova_size(iova),
		   !!(iova->__size & DMA_IOVA_USE_SWIOTLB));
}

const struct oracle_op oracle_two_step_ops[] = {
	{ "alloc", 3, 3, op_alloc },
	{ "link", 6, 6, op_link },
	{ "sync", 3, 3, op_sync },
	{ "unlink", 5, 5, op_unlink },
	{ "free", 1, 1, op_free },
	{ "destroy", 4, 4, op_destroy },
	{ "state", 1, 1, op_state },
	{},
};
