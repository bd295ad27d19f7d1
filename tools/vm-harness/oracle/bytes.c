// SPDX-License-Identifier: GPL-2.0
/* What memory holds: written and read by the CPU, or by the device, which is to say through a DMA address. */
#include <linux/mm.h>

#include "oracle.h"

/* Numbers from here on are states. */
#define STATE_BASE 0x40
#define MAX_BYTES (1UL << 20)

static u8 byte_of(u64 seed, u64 i)
{
	return seed + 7 * i + (i >> 8);
}

static u32 add_to_sum(u32 sum, u8 byte)
{
	return 31 * sum + byte;
}

static u8 *test_bytes(struct oracle_run *run, u64 start, u64 size)
{
	if (size <= MAX_BYTES && start < ORACLE_MEMORY && size <= ORACLE_MEMORY - start)
		return phys_to_virt(run->memory + start);
	oracle_say(run, "skip");
	return NULL;
}

/* fill offset size seed: the CPU writes test memory. */
static void op_fill(struct oracle_run *run, const u64 *a, unsigned int n)
{
	u8 *bytes = test_bytes(run, a[0], a[1]);
	u64 i;

	if (!bytes)
		return;
	for (i = 0; i < a[1]; i++)
		bytes[i] = byte_of(a[2], i);
	oracle_say(run, "ok");
}

/* sum offset size: what the CPU reads in test memory. */
static void op_sum(struct oracle_run *run, const u64 *a, unsigned int n)
{
	u8 *bytes = test_bytes(run, a[0], a[1]);
	u32 sum = 0;
	u64 i;

	if (!bytes)
		return;
	for (i = 0; i < a[1]; i++)
		sum = add_to_sum(sum, bytes[i]);
	oracle_say(run, "%x", sum);
}

/* The DMA address of a slot of mappings, or behind them of states. A scatter list's is its first segment's. */
static bool address_of(struct oracle_run *run, u64 number, dma_addr_t *addr)
{
	if (number >= STATE_BASE) {
		struct oracle_state *state = &run->states[number % ORACLE_STATES];

		*addr = state->iova.addr;
		return state->allocated;
	}
	*addr = run->mappings[number].addr;
	if (run->mappings[number].sg.sgl)
		*addr = sg_dma_address(run->mappings[number].sg.sgl);
	return run->mappings[number].mapped;
}

/* The memory that the device reaches there; NULL when there is none, or none that is the programs'. */
static u8 *device_byte(struct oracle_run *run, dma_addr_t addr, const char **why)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);
	phys_addr_t phys = addr;
	u64 offset;

	if (domain && (domain->type & __IOMMU_DOMAIN_PAGING))
		phys = iommu_iova_to_phys(domain, addr);
	*why = phys ? "foreign" : "fault";
	if (phys - run->memory < ORACLE_MEMORY || oracle_in_pool(run, phys, &offset))
		return phys_to_virt(phys);
	return NULL;
}

/* Visit the bytes that a slot's device address reaches; writes them if there is a seed. */
static void touch(struct oracle_run *run, const u64 *a, const u64 *seed)
{
	const char *why = "";
	u8 *byte = NULL;
	dma_addr_t addr;
	u32 sum = 0;
	u64 i;

	if (!address_of(run, a[0], &addr) || a[2] > MAX_BYTES) {
		oracle_say(run, "skip");
		return;
	}
	addr += a[1];
	for (i = 0; i < a[2]; i++, byte++) {
		if (!i || offset_in_page(addr + i) == 0)
			byte = device_byte(run, addr + i, &why);
		if (!byte) {
			oracle_say(run, "%s+%llx", why, i);
			return;
		}
		if (seed)
			*byte = byte_of(*seed, i);
		else
			sum = add_to_sum(sum, *byte);
	}
	if (seed)
		oracle_say(run, "ok");
	else
		oracle_say(run, "%x", sum);
}

/* dev_fill number offset size seed */
static void op_dev_fill(struct oracle_run *run, const u64 *a, unsigned int n)
{
	touch(run, a, &a[3]);
}

/* dev_sum number offset size */
static void op_dev_sum(struct oracle_run *run, const u64 *a, unsigned int n)
{
	touch(run, a, NULL);
}

const struct oracle_op oracle_bytes_ops[] = {
	{ "fill", 3, 3, op_fill },
	{ "sum", 2, 2, op_sum },
	{ "dev_fill", 4, 4, op_dev_fill },
	{ "dev_sum", 3, 3, op_dev_sum },
	{},
};
