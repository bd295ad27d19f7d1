/* SPDX-License-Identifier: GPL-2.0 */
/* Runs programs of DMA API calls on one PCI function and writes down what the kernel did. */
#ifndef GPUSVM_ORACLE_H
#define GPUSVM_ORACLE_H

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/scatterlist.h>

#define ORACLE_STATES 64
#define ORACLE_MAPPINGS 64
#define ORACLE_SEGMENTS 32
#define ORACLE_RANGES 8192
#define ORACLE_ARGS (3 + 2 * ORACLE_SEGMENTS)

/* Physically contiguous test memory, aligned to its size; programs name it by offset. */
#define ORACLE_MEMORY (16UL << 20)
/* IOVA of marker 0: mapped and unmapped to separate the phases of a trace. */
#define ORACLE_MARKER 0x7000000000UL

struct oracle_state {
	struct dma_iova_state iova;
	bool allocated;
};

/* What a dma_map_* or dma_alloc_coherent call returned. */
struct oracle_mapping {
	bool mapped;
	dma_addr_t addr;
	struct sg_table sg;
	/* Coherent memory only. */
	void *cpu;
	phys_addr_t phys;
	size_t size;
};

struct oracle_range {
	u64 first;
	u64 last;
};

/* The kernel's report of a warning: first line, text of a WARN() that has one, place, then registers and calls up to an end mark. */
enum oracle_report { REPORT_NONE, REPORT_BEGUN, REPORT_STATE };

struct oracle_run {
	struct device *dev;
	phys_addr_t memory;
	/* Transcript. */
	char *out;
	size_t out_size;
	size_t out_length;
	/* Memory of the process that reads the transcript. */
	char __user *buffer;
	size_t buffer_size;
	/* Softirqs are off, so that no timer of the kernel runs between two calls. */
	bool quiet;
	unsigned long quiet_since;
	long tables_at_start;
	/* When not 0: the allocation of a table page that fails in the next map. */
	unsigned int fail_nth;
	unsigned int program;
	const char *line;
	/* What the kernel has logged during this call; how far a warning's report is. */
	char log[4096];
	size_t log_length;
	size_t last_note;
	enum oracle_report report;
	struct oracle_state states[ORACLE_STATES];
	struct oracle_mapping mappings[ORACLE_MAPPINGS];
	/* Every IOVA page that a call may have mapped. */
	struct oracle_range ranges[ORACLE_RANGES];
	unsigned int range_count;
};

struct oracle_op {
	const char *name;
	unsigned int min_args;
	unsigned int max_args;
	void (*call)(struct oracle_run *run, const u64 *args, unsigned int count);
};

/* Tables of operations, each ended by an entry without a name. */
extern const struct oracle_op oracle_two_step_ops[];
extern const struct oracle_op oracle_classic_ops[];
extern const struct oracle_op oracle_raw_ops[];
extern const struct oracle_op oracle_report_ops[];
extern const struct oracle_op oracle_sync_ops[];
extern const struct oracle_op oracle_bytes_ops[];
extern const struct oracle_op oracle_settings_ops[];

/* program.c */
void oracle_run_text(struct oracle_run *run, char *text);
__printf(2, 3) void oracle_say(struct oracle_run *run, const char *format, ...);
void oracle_set_quiet(struct oracle_run *run, bool quiet);
void oracle_arm(struct oracle_run *run);
void oracle_disarm(void);
int oracle_reset(struct oracle_run *run, const char *type);

/* main.c */
int oracle_write_file(struct oracle_run *run, const char *path, const char *text);
unsigned long oracle_warnings(void);

/* log.c */
int oracle_log_start(void);
void oracle_log_stop(void);
void oracle_listen(struct oracle_run *run);
void oracle_end_listening(struct oracle_run *run);

/* report.c */
phys_addr_t oracle_phys(struct oracle_run *run, u64 value);
void oracle_say_address(struct oracle_run *run, dma_addr_t addr);
void oracle_note_range(struct oracle_run *run, u64 first_byte, u64 size);
long oracle_table_pages(struct oracle_run *run);

/* pool.c */
void oracle_reset_pool(struct oracle_run *run);
bool oracle_in_pool(struct oracle_run *run, phys_addr_t phys, u64 *offset);
bool oracle_is_unbounceable(struct oracle_run *run, u64 size);

/* settings.c */
int oracle_default_settings(struct oracle_run *run);

/* classic.c */
void oracle_free_coherent(struct oracle_run *run, struct oracle_mapping *mapping);

#endif
