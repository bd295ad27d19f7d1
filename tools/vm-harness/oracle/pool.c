// SPDX-License-Identifier: GPL-2.0
/*
 * The bounce pool. It is one for all devices and outlives a program, so each program finds it as after boot: empty, cleared,
 * its search at the first slot. Only the device of the module uses it here. Records of slots and areas are private to
 * swiotlb.c; this is how 7.3 lays them out.
 */
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/swiotlb.h>

#include "oracle.h"

#define SEGMENT_SLOTS 128

struct slot_record {
	phys_addr_t original;
	size_t size;
	unsigned short free;
	unsigned short padding;
};

struct area_record {
	unsigned long used;
	unsigned int next;
	spinlock_t lock;
};

static struct io_tlb_pool *pool_of(struct oracle_run *run)
{
	struct io_tlb_mem *mem = run->dev->dma_io_tlb_mem;

	return mem && mem->nslabs ? &mem->defpool : NULL;
}

void oracle_reset_pool(struct oracle_run *run)
{
	struct io_tlb_pool *pool = pool_of(run);
	struct slot_record *slots;
	struct area_record *areas;
	unsigned long i;

	if (!pool)
		return;
	slots = (struct slot_record *)pool->slots;
	for (i = 0; i < pool->nslabs; i++)
		slots[i] = (struct slot_record){ .original = ~0ULL, .free = SEGMENT_SLOTS - i % SEGMENT_SLOTS };
	areas = (struct area_record *)pool->areas;
	for (i = 0; i < pool->nareas; i++) {
		areas[i].used = 0;
		areas[i].next = 0;
	}
	memset(pool->vaddr, 0, pool->nslabs * IO_TLB_SIZE);
}

/* Whether an address lies in the pool; its offset there. */
bool oracle_in_pool(struct oracle_run *run, phys_addr_t phys, u64 *offset)
{
	struct io_tlb_pool *pool = pool_of(run);

	if (!pool || phys < pool->start || phys >= pool->end)
		return false;
	*offset = phys - pool->start;
	return true;
}

/* A range without bytes that is bounced stops the kernel (BUG_ON), so we stop before it. */
bool oracle_is_unbounceable(struct oracle_run *run, u64 size)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);
	bool translated = domain && (domain->type & __IOMMU_DOMAIN_PAGING);

	return !size && pool_of(run) && (!translated || to_pci_dev(run->dev)->untrusted);
}
