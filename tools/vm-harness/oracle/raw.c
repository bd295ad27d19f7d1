// SPDX-License-Identifier: GPL-2.0
/* iommu_map and iommu_unmap on the device's own domain, and the markers of traces. */
#include "oracle.h"

static struct iommu_domain *domain_of(struct oracle_run *run)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(run->dev);

	if (domain && (domain->type & __IOMMU_DOMAIN_PAGING))
		return domain;
	oracle_say(run, "skip");
	return NULL;
}

static void op_iommu_map(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct iommu_domain *domain = domain_of(run);
	int err;

	if (!domain)
		return;
	oracle_note_range(run, a[0], a[2]);
	oracle_arm(run);
	err = iommu_map(domain, a[0], oracle_phys(run, a[1]), a[2], a[3], GFP_ATOMIC);
	oracle_disarm();
	oracle_say(run, "%d", err);
}

static void op_iommu_unmap(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct iommu_domain *domain = domain_of(run);

	if (domain)
		oracle_say(run, "%zx", iommu_unmap(domain, a[0], a[1]));
}

static void op_mark(struct oracle_run *run, const u64 *a, unsigned int n)
{
	struct iommu_domain *domain = domain_of(run);
	unsigned long iova = ORACLE_MARKER + a[0] * PAGE_SIZE;

	if (!domain)
		return;
	if (iommu_map(domain, iova, run->memory, PAGE_SIZE, IOMMU_READ, GFP_ATOMIC) ||
	    iommu_unmap(domain, iova, PAGE_SIZE) != PAGE_SIZE)
		oracle_say(run, "failed");
	else
		oracle_say(run, "ok");
}

const struct oracle_op oracle_raw_ops[] = {
	{ "iommu_map", 4, 4, op_iommu_map },
	{ "iommu_unmap", 2, 2, op_iommu_unmap },
	{ "mark", 1, 1, op_mark },
	{},
};
