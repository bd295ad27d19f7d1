// SPDX-License-Identifier: GPL-2.0
/* Reads programs line by line, calls the operations, and writes the transcript. */
#include <linux/bottom_half.h>
#include <linux/ctype.h>
#include <linux/kernel.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "oracle.h"

static const struct oracle_op *const tables[] = {
	oracle_two_step_ops,
	oracle_classic_ops,
	oracle_raw_ops,
	oracle_report_ops,
	oracle_sync_ops,
	oracle_bytes_ops,
	oracle_settings_ops,
};

void oracle_say(struct oracle_run *run, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	run->out_length += vscnprintf(run->out + run->out_length, run->out_size - run->out_length, format, args);
	va_end(args);
}

/* With softirqs off on the only CPU, the flush queue's timer runs when a program waits and at no other time. */
void oracle_set_quiet(struct oracle_run *run, bool quiet)
{
	if (quiet == run->quiet)
		return;
	if (quiet)
		local_bh_disable();
	else
		local_bh_enable();
	run->quiet = quiet;
	run->quiet_since = jiffies;
}

/*
 * As /proc/self/fail-nth does. Only around calls that allocate nothing but table pages: the allocators of smaller
 * objects take pages of their own when it suits them.
 */
void oracle_arm(struct oracle_run *run)
{
	current->fail_nth = run->fail_nth;
	run->fail_nth = 0;
}

void oracle_disarm(void)
{
	current->fail_nth = 0;
}

static void forget(struct oracle_run *run)
{
	unsigned int i;

	run->fail_nth = 0;

	for (i = 0; i < ORACLE_MAPPINGS; i++) {
		oracle_free_coherent(run, &run->mappings[i]);
		sg_free_table(&run->mappings[i].sg);
	}
	memset(run->states, 0, sizeof(run->states));
	memset(run->mappings, 0, sizeof(run->mappings));
	run->range_count = 0;
}

static int set_group_type(struct oracle_run *run, const char *type)
{
	struct iommu_group *group = iommu_group_get(run->dev);
	char path[64];

	/* Without an IOMMU every address is a physical one already. */
	if (!group)
		return strcmp(type, "identity") ? -ENODEV : 0;
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/type", iommu_group_id(group));
	iommu_group_put(group);
	return oracle_write_file(run, path, type);
}

/* A new domain, a new IOVA space, and every WARN_ONCE armed again: as if the device had just appeared. */
int oracle_reset(struct oracle_run *run, const char *type)
{
	int err;

	oracle_set_quiet(run, false);
	forget(run);
	to_pci_dev(run->dev)->untrusted = false;
	err = set_group_type(run, "identity");
	if (!err && strcmp(type, "identity"))
		err = set_group_type(run, type);
	if (!err)
		err = oracle_write_file(run, "/sys/kernel/debug/clear_warn_once", "1");
	if (!err)
		err = oracle_default_settings(run);
	oracle_reset_pool(run);
	run->tables_at_start = oracle_table_pages(run);
	return err;
}

/* "program strict|lazy|untrusted|identity" starts a program. An untrusted device is strict. */
static void start_program(struct oracle_run *run, const char *mode)
{
	bool untrusted = !strcmp(mode, "untrusted");
	bool strict = untrusted || !strcmp(mode, "strict");
	const char *type = !strcmp(mode, "lazy") ? "DMA-FQ" : strict ? "DMA" : "identity";
	int err = oracle_reset(run, type);

	/* dma-iommu looks at this at every call. */
	to_pci_dev(run->dev)->untrusted = untrusted;

	run->program++;
	oracle_say(run, "program %s = %d\n", mode, err);
	oracle_set_quiet(run, true);
}

static const struct oracle_op *find_op(const char *name)
{
	unsigned int i;
	const struct oracle_op *op;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (op = tables[i]; op->name; op++)
			if (!strcmp(op->name, name))
				return op;
	return NULL;
}

static void run_line(struct oracle_run *run, char *line)
{
	u64 args[ORACLE_ARGS];
	unsigned int count = 0;
	unsigned long before;
	const struct oracle_op *op;
	char *name, *token;

	oracle_say(run, "%s = ", line);
	name = strsep(&line, " ");
	op = find_op(name);
	while (op && (token = strsep(&line, " "))) {
		if (count == ORACLE_ARGS || kstrtou64(token, 16, &args[count])) {
			op = NULL;
			break;
		}
		count++;
	}
	if (!op || count < op->min_args || count > op->max_args) {
		oracle_say(run, "syntax\n");
		return;
	}
	before = oracle_warnings();
	oracle_listen(run);
	op->call(run, args, count);
	if (oracle_warnings() != before)
		oracle_say(run, " !%lu", oracle_warnings() - before);
	oracle_end_listening(run);
	oracle_say(run, "\n");
}

void oracle_run_text(struct oracle_run *run, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		line = strim(line);
		if (!*line || *line == '#')
			continue;
		/* The line is cut into tokens below; the panic notifier wants it whole. */
		run->line = run->out + run->out_length;
		if (!strncmp(line, "program ", 8))
			start_program(run, line + 8);
		else
			run_line(run, line);
	}
	oracle_set_quiet(run, false);
	forget(run);
	to_pci_dev(run->dev)->untrusted = false;
	run->line = NULL;
}
