// SPDX-License-Identifier: GPL-2.0
/* The PCI driver and the debugfs file: write a text of programs, read the transcript. */
#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <trace/events/error_report.h>

#include "oracle.h"

#define TEXT_MAX (8UL << 20)
#define TRANSCRIPT_MAX (32UL << 20)
#define MAX_BLOCKS 160

struct session {
	char *text;
	size_t length;
	bool done;
	struct oracle_run *run;
};

static struct pci_dev *function;
static struct page *blocks[MAX_BLOCKS];
static unsigned int block_count;
static phys_addr_t memory;
static struct dentry *folder;
static atomic_long_t warnings;
static struct oracle_run *current_run;
static DEFINE_MUTEX(session_lock);

static void on_report(void *data, enum error_detector detector, unsigned long id)
{
	if (detector == ERROR_DETECTOR_WARN)
		atomic_long_inc(&warnings);
}

unsigned long oracle_warnings(void)
{
	return atomic_long_read(&warnings);
}

/* Tells which line of which program the kernel died of. */
static int on_panic(struct notifier_block *block, unsigned long event, void *data)
{
	struct oracle_run *run = READ_ONCE(current_run);

	if (run && run->line)
		pr_emerg("oracle: program %u, line: %s\n", run->program, run->line);
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = { .notifier_call = on_panic };

/*
 * Files of debugfs take user memory only (kernel_write() refuses them), so the text goes through the buffer of the
 * process that reads the transcript.
 */
int oracle_write_file(struct oracle_run *run, const char *path, const char *text)
{
	struct file *file = filp_open(path, O_WRONLY, 0);
	size_t length = strlen(text);
	loff_t position = 0;
	ssize_t written;

	if (IS_ERR(file))
		return PTR_ERR(file);
	if (file->f_op->write_iter)
		written = kernel_write(file, text, length, &position);
	else if (length > run->buffer_size || copy_to_user(run->buffer, text, length))
		written = -EFAULT;
	else
		written = file->f_op->write(file, run->buffer, length, &position);
	filp_close(file, NULL);
	return written < 0 ? written : 0;
}

static int session_open(struct inode *inode, struct file *file)
{
	struct session *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return -ENOMEM;
	s->text = vzalloc(TEXT_MAX + 1);
	s->run = vzalloc(sizeof(*s->run));
	if (s->run)
		s->run->out = vzalloc(TRANSCRIPT_MAX);
	file->private_data = s;
	return s->text && s->run && s->run->out ? 0 : -ENOMEM;
}

static int session_release(struct inode *inode, struct file *file)
{
	struct session *s = file->private_data;

	if (s->run)
		vfree(s->run->out);
	vfree(s->run);
	vfree(s->text);
	kfree(s);
	return 0;
}

static ssize_t session_write(struct file *file, const char __user *from, size_t count, loff_t *position)
{
	struct session *s = file->private_data;

	if (s->done)
		return -EBUSY;
	if (count > TEXT_MAX - s->length)
		return -EFBIG;
	if (copy_from_user(s->text + s->length, from, count))
		return -EFAULT;
	s->length += count;
	return count;
}

/* The first read runs the programs. */
static ssize_t session_read(struct file *file, char __user *to, size_t count, loff_t *position)
{
	struct session *s = file->private_data;

	if (!s->done) {
		mutex_lock(&session_lock);
		s->run->dev = &function->dev;
		s->run->memory = memory;
		s->run->out_size = TRANSCRIPT_MAX;
		s->run->buffer = to;
		s->run->buffer_size = count;
		WRITE_ONCE(current_run, s->run);
		oracle_run_text(s->run, s->text);
		WRITE_ONCE(current_run, NULL);
		mutex_unlock(&session_lock);
		s->done = true;
		*position = 0;
	}
	return simple_read_from_buffer(to, count, position, s->run->out, s->run->out_length);
}

static const struct file_operations session_ops = {
	.owner = THIS_MODULE,
	.open = session_open,
	.release = session_release,
	.write = session_write,
	.read = session_read,
};

/*
 * Test memory is larger than what the page allocator hands out at once: take large blocks until some of them make up
 * an aligned whole, then give the others back.
 */
static int take_memory(void)
{
	const unsigned long block_size = PAGE_SIZE << MAX_PAGE_ORDER;
	const unsigned int needed = ORACLE_MEMORY / block_size;
	unsigned int i, j, found;

	for (block_count = 0; block_count < MAX_BLOCKS; block_count++) {
		blocks[block_count] = alloc_pages(GFP_KERNEL | __GFP_NOWARN, MAX_PAGE_ORDER);
		if (!blocks[block_count])
			break;
	}
	for (i = 0; i < block_count && !memory; i++) {
		phys_addr_t start = page_to_phys(blocks[i]);

		if (!IS_ALIGNED(start, ORACLE_MEMORY))
			continue;
		found = 0;
		for (j = 0; j < block_count; j++)
			if (page_to_phys(blocks[j]) - start < ORACLE_MEMORY)
				found++;
		if (found == needed)
			memory = start;
	}
	for (i = 0; i < block_count; i++) {
		if (memory && page_to_phys(blocks[i]) - memory < ORACLE_MEMORY)
			continue;
		__free_pages(blocks[i], MAX_PAGE_ORDER);
		blocks[i] = NULL;
	}
	return memory ? 0 : -ENOMEM;
}

static void give_memory_back(void)
{
	unsigned int i;

	for (i = 0; i < block_count; i++)
		if (blocks[i])
			__free_pages(blocks[i], MAX_PAGE_ORDER);
}

static int oracle_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	if (function)
		return -EBUSY;
	function = pdev;
	return 0;
}

static void oracle_remove(struct pci_dev *pdev)
{
	function = NULL;
}

/* QEMU's edu device: it only lends its place behind the IOMMU. */
static const struct pci_device_id oracle_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };

static struct pci_driver oracle_driver = {
	.name = "gpusvm_oracle",
	.id_table = oracle_ids,
	.probe = oracle_probe,
	.remove = oracle_remove,
	/* The group's domain is replaced under the driver, once a program. */
	.driver_managed_dma = true,
};

static int __init oracle_init(void)
{
	int err = pci_register_driver(&oracle_driver);

	if (err)
		return err;
	err = function ? take_memory() : -ENODEV;
	if (!err)
		err = register_trace_error_report_end(on_report, NULL);
	if (!err) {
		err = oracle_log_start();
		if (err)
			unregister_trace_error_report_end(on_report, NULL);
	}
	if (err) {
		give_memory_back();
		pci_unregister_driver(&oracle_driver);
		return err;
	}
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	folder = debugfs_create_dir("gpusvm_oracle", NULL);
	debugfs_create_file("run", 0600, folder, NULL, &session_ops);
	return 0;
}

static void __exit oracle_exit(void)
{
	debugfs_remove_recursive(folder);
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_block);
	oracle_log_stop();
	unregister_trace_error_report_end(on_report, NULL);
	tracepoint_synchronize_unregister();
	pci_unregister_driver(&oracle_driver);
	give_memory_back();
}

module_init(oracle_init);
module_exit(oracle_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Runs programs of DMA API calls and writes down what the kernel did");
