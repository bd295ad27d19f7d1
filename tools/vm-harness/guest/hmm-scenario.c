/*
 * Runs scenarios on the kernel: reads the wire form of packages/lab/src/scenario/wire.ts, one scenario after a line
 * "scenario N", and answers every step with a line "INDEX ok|ERRNO PAGES FAULTS VALUE*COUNT...".
 *
 * Every process of a scenario is a process here, which takes its steps through a pipe; devices are /dev/hmm_dmirror*
 * (0 and 1 private, 2 and 3 coherent). A page holds its value in every 32-bit word.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define PROCESSES 16
#define DEVICES 4
#define LINE 65536
#define WORDS 8192

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

/* struct hmm_dmirror_cmd and its ioctl numbers, the same in 6.12 and 7.3 for those that both know. */
struct command {
	uint64_t addr, ptr, npages, cpages, faults;
};
enum { READ, WRITE, TO_DEV, TO_SYS, SNAPSHOT, EXCLUSIVE, CHECK_EXCLUSIVE, RELEASE, FLAGS, READ_UNLOCKED };
#define FAIL_ALLOC 1

struct pipes {
	int ask[2], answer[2];
};

static struct pipes pipes[PROCESSES];
static int device_node[DEVICES];	/* of the scenario: number of /dev/hmm_dmirror* */
static int files[DEVICES];		/* of this process; -1 = not open */
static sigjmp_buf fault;
static volatile sig_atomic_t guarded;

static void die(const char *what)
{
	fprintf(stderr, "hmm-scenario: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void on_fault(int sig)
{
	if (!guarded) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
	siglongjmp(fault, 1);
}

/* The answer to a step. */
struct answer {
	int err;
	long pages, faults;
	size_t count;			/* values */
	uint32_t *values;
	const char **words;		/* in place of values, of a snapshot */
};

static const char *error_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "EUNKNOWN";
}

static int same(const struct answer *a, size_t i, size_t j)
{
	return a->words ? !strcmp(a->words[i], a->words[j]) : a->values[i] == a->values[j];
}

static void print_answer(FILE *out, int index, const struct answer *a)
{
	fprintf(out, "%d %s %ld %ld", index, a->err ? error_name(a->err) : "ok", a->pages, a->faults);
	for (size_t i = 0; !a->err && i < a->count;) {
		size_t n = 1;

		while (i + n < a->count && same(a, i, i + n))
			n++;
		if (a->words)
			fprintf(out, " %s*%zu", a->words[i], n);
		else
			fprintf(out, " %u*%zu", a->values[i], n);
		i += n;
	}
	fputc('\n', out);
	fflush(out);
}

/* A page that is not the same word all over was torn: no value that anybody writes. */
static uint32_t page_value(const void *page)
{
	const uint32_t *words = page;

	for (size_t i = 1; i < PAGE / 4; i++)
		if (words[i] != words[0])
			return 0xdeadbeef;
	return words[0];
}

static void fill_page(void *page, uint32_t value)
{
	for (size_t i = 0; i < PAGE / 4; i++)
		((uint32_t *)page)[i] = value;
}

/* What a snapshot byte says, as the language does. */
static const char *snapshot_word(uint8_t byte)
{
	static char names[256][16];
	static const char *where[] = { "", "ZERO:", "DEV:", "RDEV:", "COH:", "RCOH:" };
	char *name = names[byte];

	if (byte == 0xff)
		return "ERROR";
	if (byte == 0)
		return "none";
	sprintf(name, "%s%s%s", where[byte >> 4], byte & 2 ? "W" : "R", byte & 8 ? "+PUD" : byte & 4 ? "+PMD" : "");
	return name;
}

/* The values of the words "VALUE*COUNT" from `word` on. */
static void read_values(char **word, int words, uint32_t *values, size_t pages)
{
	size_t n = 0;

	for (int i = 0; i < words; i++) {
		unsigned long value, count;

		if (sscanf(word[i], "%lu*%lu", &value, &count) != 2)
			die("values");
		while (count-- && n < pages)
			values[n++] = value;
	}
}

static int has(char **word, int words, const char *flag)
{
	for (int i = 0; i < words; i++)
		if (!strcmp(word[i], flag))
			return 1;
	return 0;
}

static int protection(const char *word)
{
	return !strcmp(word, "rw") ? PROT_READ | PROT_WRITE : !strcmp(word, "r") ? PROT_READ : PROT_NONE;
}

static int any_file(void)
{
	for (int d = 0; d < DEVICES; d++)
		if (files[d] >= 0)
			return files[d];
	errno = EBADF;
	return -1;
}

/* The kernel's vvar mapping, moved to the buffer: it cannot be cut, so all of it moves. */
static int move_vvar(char *at)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	char line[256];
	int err = ENOENT;

	while (maps && err == ENOENT && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "[vvar]") || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		err = mremap((void *)start, end - start, end - start, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED
			      ? errno
			      : 0;
	}
	if (maps)
		fclose(maps);
	return err;
}

static int map_buffer(char *at, size_t bytes, char **word, int words)
{
	int flags = MAP_FIXED_NOREPLACE, fd = -1;
	int shared = has(word, words, "shared");

	flags |= shared ? MAP_SHARED : MAP_PRIVATE;
	if (has(word, words, "io"))
		return ENOSYS;
	if (has(word, words, "vvar"))
		return move_vvar(at);
	if (has(word, words, "mixed")) {
		fd = any_file();
	} else if (has(word, words, "file")) {
		fd = memfd_create("scenario", 0);
		if (fd < 0 || ftruncate(fd, bytes))
			return errno;
	} else {
		flags |= MAP_ANONYMOUS;
	}
	if (has(word, words, "hugetlb"))
		flags |= MAP_HUGETLB;
	if (mmap(at, bytes, protection(word[0]), flags, fd, 0) == MAP_FAILED)
		return errno;
	if (has(word, words, "file"))
		close(fd);
	if (has(word, words, "thp") && madvise(at, bytes, MADV_HUGEPAGE))
		return errno;
	return has(word, words, "locked") && mlock(at, bytes) ? errno : 0;
}

/*
 * What was paged out is under writeback for a while, which keeps it from being migrated or reclaimed. A race with the
 * disk is nothing to compare: wait for it.
 */
static void wait_writeback(void)
{
	for (int tries = 0; tries < 10000; tries++) {
		static char text[16384];
		int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);
		ssize_t n;
		char *line;

		/* Counters of each CPU are added up first. */
		if (fd < 0 || write(fd, "1", 1) != 1)
			die("stat_refresh");
		close(fd);
		fd = open("/proc/vmstat", O_RDONLY);
		n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
		if (n < 0)
			die("vmstat");
		close(fd);
		text[n] = 0;
		line = strstr(text, "nr_writeback ");
		if (line && strtoul(line + strlen("nr_writeback "), NULL, 10) == 0)
			return;
		usleep(100);
	}
	errno = ETIMEDOUT;
	die("writeback");
}

static int page_out(char *at, size_t bytes)
{
	int err = madvise(at, bytes, MADV_PAGEOUT) ? errno : 0;

	wait_writeback();
	return err;
}

static int advice(const char *word)
{
	static const struct {
		const char *name;
		int advice;
	} all[] = {
		{ "dontneed", MADV_DONTNEED }, { "free", MADV_FREE }, { "cold", MADV_COLD }, { "hugepage", MADV_HUGEPAGE }, { "nohugepage", MADV_NOHUGEPAGE }, { "collapse", MADV_COLLAPSE },
		{ "guard", MADV_GUARD_INSTALL }, { "unguard", MADV_GUARD_REMOVE },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, word))
			return all[i].advice;
	return -1;
}

/* Touch page by page until the first fault. */
static void touch(char *at, size_t count, struct answer *a, int write)
{
	/* Survive the jump out of the signal handler. */
	static size_t i, pages;

	pages = count;
	guarded = 1;
	if (sigsetjmp(fault, 1)) {
		a->err = EFAULT;
	} else {
		for (i = 0; i < pages; i++) {
			if (write)
				fill_page(at + i * PAGE, a->values[i]);
			else
				a->values[i] = page_value(at + i * PAGE);
		}
	}
	guarded = 0;
	a->count = write ? 0 : pages;
}

/* As another process does: no signal, an errno. */
static void reach(char *at, size_t pages, struct answer *a, int write)
{
	static uint32_t page[PAGE / 4];
	struct iovec local = { page, PAGE };

	for (size_t i = 0; i < pages && !a->err; i++) {
		struct iovec remote = { at + i * PAGE, PAGE };
		ssize_t n;

		if (write)
			fill_page(page, a->values[i]);
		n = write ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			  : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
		if (n != (ssize_t)PAGE)
			a->err = n < 0 ? errno : EFAULT;
		else if (!write)
			a->values[i] = page_value(page);
	}
	a->count = write ? 0 : pages;
}

struct handler {
	int fd;
	uint32_t value;
};

static void *serve_faults(void *data)
{
	struct handler h = *(struct handler *)data;
	void *page = aligned_alloc(PAGE, PAGE);
	struct uffd_msg msg;

	free(data);
	fill_page(page, h.value);
	while (read(h.fd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = msg.arg.pagefault.address & ~(PAGE - 1), .src = (uintptr_t)page, .len = PAGE,
		};

		if (msg.event == UFFD_EVENT_PAGEFAULT)
			ioctl(h.fd, UFFDIO_COPY, &copy);
	}
	return NULL;
}

static int watch(char *at, size_t bytes, uint32_t value)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)at, bytes }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct handler *h = malloc(sizeof(*h));
	pthread_t thread;

	h->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	h->value = value;
	if (h->fd < 0 || ioctl(h->fd, UFFDIO_API, &api) || ioctl(h->fd, UFFDIO_REGISTER, &reg))
		return errno;
	return pthread_create(&thread, NULL, serve_faults, h);
}

static int device_ioctl(int fd, int number, struct command *c)
{
	return ioctl(fd, _IOWR('H', number, struct command), c) ? errno : 0;
}

static void device_step(int device, const char *op, char *at, size_t pages, struct answer *a)
{
	static const struct {
		const char *name;
		int number;
	} all[] = {
		{ "read", READ }, { "write", WRITE }, { "migrate", TO_DEV }, { "back", TO_SYS }, { "snapshot", SNAPSHOT },
		{ "exclusive", EXCLUSIVE }, { "check-exclusive", CHECK_EXCLUSIVE }, { "read-unlocked", READ_UNLOCKED },
		{ "release", RELEASE }, { "fail-alloc", FLAGS },
	};
	struct command c = { .addr = (uintptr_t)at, .npages = pages };
	int fd = files[device], number = -1;
	char *data = NULL;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(all[i].name, op))
			number = all[i].number;
	if (fd < 0 || number < 0) {
		a->err = fd < 0 ? EBADF : ENOSYS;
		return;
	}
	if (number == RELEASE || number == FLAGS) {
		c.npages = number == FLAGS ? FAIL_ALLOC : 1;
		a->err = device_ioctl(fd, number, &c);
		/* Kernels without device THP do not know the flag; there is no large allocation to fail either. */
		if (number == FLAGS && (a->err == ENOTTY || a->err == EINVAL))
			a->err = 0;
		return;
	}
	data = aligned_alloc(PAGE, pages * PAGE);
	memset(data, 0, pages * PAGE);
	c.ptr = (uintptr_t)data;
	if (number == WRITE)
		for (size_t i = 0; i < pages; i++)
			fill_page(data + i * PAGE, a->values[i]);
	a->err = device_ioctl(fd, number, &c);
	if (!a->err && number != CHECK_EXCLUSIVE) {
		a->pages = c.cpages;
		a->faults = c.faults;
	}
	if (number == READ || number == READ_UNLOCKED) {
		for (size_t i = 0; i < pages; i++)
			a->values[i] = page_value(data + i * PAGE);
		a->count = pages;
	}
	if (number == SNAPSHOT) {
		a->words = malloc(pages * sizeof(*a->words));
		for (size_t i = 0; i < pages; i++)
			a->words[i] = snapshot_word(((uint8_t *)data)[i]);
		a->count = pages;
	}
	free(data);
}

static int open_device(int device)
{
	char path[32];
	int fd, old = files[device];

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%d", device_node[device]);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return errno;
	files[device] = fd;
	if (old >= 0)
		close(old);
	return 0;
}

static int close_device(int device)
{
	int fd = files[device];

	if (fd < 0)
		return EBADF;
	files[device] = -1;
	return close(fd) ? errno : 0;
}

static int result(int failed)
{
	return failed ? errno : 0;
}

static void process_loop(int self);

/* One step: "INDEX PROCESS DEVICE OP PAGE PAGES ARGUMENTS...". */
static void do_step(int self, char **word, int words)
{
	int index = atoi(word[0]), device = atoi(word[2]);
	const char *op = word[3];
	char *at = (char *)(strtoul(word[4], NULL, 10) * PAGE);
	size_t pages = strtoul(word[5], NULL, 10), bytes = pages * PAGE;
	char **arg = word + 6;
	int args = words - 6;
	struct answer a = { .pages = -1, .faults = -1 };
	FILE *out = fdopen(dup(pipes[self].answer[1]), "w");

	a.values = calloc(pages + 1, sizeof(*a.values));
	if (!strcmp(op, "write") || !strcmp(op, "poke"))
		read_values(arg, args, a.values, pages);
	if (device >= 0)
		device_step(device, op, at, pages, &a);
	else if (!strcmp(op, "mmap"))
		a.err = map_buffer(at, bytes, arg, args);
	else if (!strcmp(op, "munmap"))
		a.err = result(munmap(at, bytes));
	else if (!strcmp(op, "mprotect"))
		a.err = result(mprotect(at, bytes, protection(arg[0])));
	else if (!strcmp(op, "mlock"))
		a.err = result(mlock(at, bytes));
	else if (!strcmp(op, "munlock"))
		a.err = result(munlock(at, bytes));
	else if (!strcmp(op, "swap"))
		a.err = page_out(at, bytes);
	else if (!strcmp(op, "madvise") && !strcmp(arg[0], "pageout"))
		a.err = page_out(at, bytes);
	else if (!strcmp(op, "madvise"))
		a.err = result(madvise(at, bytes, advice(arg[0])));
	else if (!strcmp(op, "mremap"))
		a.err = result(mremap(at, bytes, bytes,
				      MREMAP_MAYMOVE | MREMAP_FIXED | (atoi(arg[1]) ? MREMAP_DONTUNMAP : 0),
				      (void *)(strtoul(arg[0], NULL, 10) * PAGE)) == MAP_FAILED);
	else if (!strcmp(op, "read") || !strcmp(op, "write"))
		touch(at, pages, &a, op[0] == 'w');
	else if (!strcmp(op, "peek") || !strcmp(op, "poke"))
		reach(at, pages, &a, !strcmp(op, "poke"));
	else if (!strcmp(op, "open"))
		a.err = open_device(atoi(arg[0]));
	else if (!strcmp(op, "close"))
		a.err = close_device(atoi(arg[0]));
	else if (!strcmp(op, "uffd"))
		a.err = watch(at, bytes, strtoul(arg[0], NULL, 10));
	else if (!strcmp(op, "fork")) {
		int child = atoi(arg[0]);
		pid_t pid = fork();

		if (pid == 0) {
			fclose(out);
			process_loop(child);
		}
		a.err = result(pid < 0);
		fprintf(out, "pid %d\n", pid);
	} else if (strcmp(op, "exit")) {
		a.err = ENOSYS;
	}
	print_answer(out, index, &a);
	fclose(out);
	free(a.values);
	free(a.words);
	if (!strcmp(op, "exit"))
		_exit(0);
}

static int split(char *line, char **word)
{
	int words = 0;

	for (char *w = strtok(line, " \n"); w && words < WORDS; w = strtok(NULL, " \n"))
		word[words++] = w;
	return words;
}

static void process_loop(int self)
{
	static char line[LINE];
	static char *word[WORDS];
	struct sigaction act = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &act, NULL);
	sigaction(SIGBUS, &act, NULL);
	/* Not stdio: what a parent has buffered, its child would read again. */
	for (;;) {
		size_t n = 0;

		while (read(pipes[self].ask[0], line + n, 1) == 1 && line[n] != '\n')
			if (++n == LINE - 1)
				die("a step is too long");
		if (n == 0)
			_exit(0);
		line[n] = 0;
		do_step(self, word, split(line, word));
	}
}

static pid_t pids[PROCESSES];

/*
 * Gone means that the address space and the files are: a zombie will do, once it is the last of its threads. Until then
 * a thread may still close a device, which takes every page off it.
 */
static void wait_gone(pid_t pid)
{
	while (kill(pid, 0) == 0) {
		char path[64], state = 0;
		int threads = 0;
		FILE *stat;

		if (waitpid(pid, NULL, WNOHANG) == pid)
			return;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		stat = fopen(path, "r");
		if (!stat)
			return;
		/* Field 20 of proc_pid_stat(5) is the number of threads. */
		if (fscanf(stat,
			   "%*d (%*[^)]) %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
			   &state, &threads) != 2)
			state = 0;
		fclose(stat);
		if (state == 'Z' && threads <= 1)
			return;
		usleep(1000);
	}
}

static void start_process(void)
{
	for (int p = 0; p < PROCESSES; p++)
		if (pipe(pipes[p].ask) || pipe(pipes[p].answer))
			die("pipe");
	for (int d = 0; d < DEVICES; d++)
		files[d] = -1;
	memset(pids, 0, sizeof(pids));
	fflush(stdout);
	pids[0] = fork();
	if (pids[0] < 0)
		die("fork");
	if (pids[0] == 0)
		process_loop(0);
}

static void end_scenario(void)
{
	for (int p = PROCESSES - 1; p >= 0; p--) {
		if (pids[p] > 0) {
			kill(pids[p], SIGKILL);
			wait_gone(pids[p]);
		}
		close(pipes[p].ask[0]);
		close(pipes[p].ask[1]);
		close(pipes[p].answer[0]);
		close(pipes[p].answer[1]);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

/* Hand a step to its process and print what it answers; a process that dies answers nothing. */
static void hand_over(const char *step)
{
	static char reply[LINE];
	int index, process, child;
	size_t n = 0;
	int is_fork = sscanf(step, "%d %d -1 fork 0 0 %d", &index, &process, &child) == 3;
	int is_exit = strstr(step, " -1 exit ") != NULL;

	if (sscanf(step, "%d %d", &index, &process) != 2 || process >= PROCESSES || pids[process] == 0) {
		printf("%d ESRCH -1 -1\n", index);
		return;
	}
	if (write(pipes[process].ask[1], step, strlen(step)) < 0)
		die("pipe to a process");
	for (;;) {
		if (read(pipes[process].answer[0], reply + n, 1) != 1)
			die("pipe from a process");
		if (reply[n++] != '\n')
			continue;
		reply[n] = 0;
		n = 0;
		if (is_fork && sscanf(reply, "pid %d", &pids[child]) == 1)
			continue;
		fputs(reply, stdout);
		break;
	}
	if (is_exit) {
		wait_gone(pids[process]);
		pids[process] = 0;
	}
}

int main(void)
{
	static char line[LINE];
	int running = 0, privates = 0, coherents = 0, device;
	char type[16];

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGPIPE, SIG_IGN);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "scenario ", 9)) {
			if (running)
				end_scenario();
			fputs(line, stdout);
			fflush(stdout);
			/* When the kernel dies, the last one of these names the scenario. */
			fputs(line, stderr);
			running = privates = coherents = 0;
		} else if (sscanf(line, "device %d %15s", &device, type) == 2 && device < DEVICES) {
			device_node[device] = strcmp(type, "coherent") ? privates++ : 2 + coherents++;
		} else if (!strncmp(line, "step ", 5)) {
			if (!running)
				start_process();
			running = 1;
			hand_over(line + 5);
			fflush(stdout);
		}
	}
	if (running)
		end_scenario();
	return 0;
}
