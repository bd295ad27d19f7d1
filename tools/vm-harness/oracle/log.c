// SPDX-License-Identifier: GPL-2.0
/* What the kernel logs during a call: the place of each warning, and every other line as it is. */
#include <linux/array_size.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <trace/events/printk.h>

#include "oracle.h"

/* The run whose call is under way, and its task: other tasks log too. */
static struct oracle_run *listening;
static struct task_struct *listener;

/* What repeats is noted once: the count of warnings tells how often. */
static void note(struct oracle_run *run, const char *open, const char *text, size_t length, const char *close)
{
	char entry[200];
	size_t size = scnprintf(entry, sizeof(entry), " %s%.*s%s", open, (int)length, text, close);

	if (size == run->last_note && !memcmp(run->log + run->log_length - size, entry, size))
		return;
	if (size > sizeof(run->log) - run->log_length)
		return;
	memcpy(run->log + run->log_length, entry, size);
	run->log_length += size;
	run->last_note = size;
}

/*
 * "WARNING: at function+offset/size, CPU#0: ...", with a file and a condition before "at" if the kernel has them: the
 * function says where. The line and what compilers append to a name change from one build to the next.
 */
static void note_warning(struct oracle_run *run, const char *text, size_t length)
{
	const char *at = strnstr(text, " at ", length);
	const char *end = text + length;
	const char *name = at ? at + 4 : text;
	size_t size = 0;

	while (name + size < end && name[size] != '.' && name[size] != '+' && name[size] != ' ')
		size++;
	note(run, "[", name, size, "]");
}

static bool begins(const char *text, size_t length, const char *with)
{
	return length >= strlen(with) && !memcmp(text, with, strlen(with));
}

/* What the clock says of itself comes in any task: it is late on a busy machine. */
static bool is_of_clock(const char *text, size_t length)
{
	static const char *const prefixes[] = { "CE: ", "clocksource: ", "hrtimer: ", "sched_clock: ", "tsc: " };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (begins(text, length, prefixes[i]))
			return true;
	return false;
}

/*
 * printk() calls this for each line before it is shown, in the task that logs. An interrupt that comes in between speaks
 * of the machine, not of the call: of a clock that stood still, of a tick that took long.
 */
static void on_line(void *data, const char *text, size_t length)
{
	struct oracle_run *run = READ_ONCE(listening);

	if (!run || current != listener || !in_task())
		return;
	while (length && text[length - 1] == '\n')
		length--;
	if (is_of_clock(text, length))
		return;
	switch (run->report) {
	case REPORT_NONE:
		if (strnstr(text, "[ cut here ]", length))
			run->report = REPORT_BEGUN;
		else if (length)
			note(run, "\"", text, length, "\"");
		break;
	case REPORT_BEGUN:
		if (begins(text, length, "WARNING: ")) {
			note_warning(run, text, length);
			run->report = REPORT_STATE;
		} else {
			note(run, "\"", text, length, "\"");
		}
		break;
	case REPORT_STATE:
		if (strnstr(text, "[ end trace ", length))
			run->report = REPORT_NONE;
		break;
	}
}

int oracle_log_start(void)
{
	return register_trace_console(on_line, NULL);
}

void oracle_log_stop(void)
{
	unregister_trace_console(on_line, NULL);
}

void oracle_listen(struct oracle_run *run)
{
	run->log_length = 0;
	run->last_note = 0;
	run->report = REPORT_NONE;
	listener = current;
	WRITE_ONCE(listening, run);
}

/* What was logged since then becomes a part of the transcript's line. */
void oracle_end_listening(struct oracle_run *run)
{
	WRITE_ONCE(listening, NULL);
	if (run->log_length)
		oracle_say(run, "%.*s", (int)run->log_length, run->log);
}
