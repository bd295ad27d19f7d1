/* ioctl, memfd, eventfd and poll. Every function returns a result that is not negative, or a negated errno. */
#define _GNU_SOURCE /* memfd_create */
#include "arguments.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The kernel reads as many bytes as the size field says, which is the first u32 of every iommufd and VFIO
 * structure. A size beyond the buffer would let it read, and write back, foreign memory.
 */
static bool size_fits(napi_env env, const uint8_t *data, size_t length)
{
	uint32_t size;

	if (length < sizeof(size)) {
		napi_throw_range_error(env, NULL, "the structure is shorter than its size field");
		return false;
	}
	memcpy(&size, data, sizeof(size));
	if (size > length) {
		napi_throw_range_error(env, NULL, "the size field of the structure is larger than the buffer");
		return false;
	}
	return true;
}

static int do_ioctl(int fd, uint64_t request, void *argument)
{
	int result;

	do
		result = ioctl(fd, (unsigned long)request, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

/* The buffers of IOMMU calls are at most 4 KiB: a fixed copy lets a short buffer meet no kernel that reads more. */
#define MAX_ARGUMENT 4096

static napi_value call_ioctl(napi_env env, napi_callback_info info)
{
	uint8_t argument[MAX_ARGUMENT] = { 0 };
	napi_value argv[3];
	uint64_t request;
	uint8_t *data;
	size_t length;
	int32_t fd;
	int result;

	if (!gs_arguments(env, info, 3, argv) || !gs_int32(env, argv[0], &fd) ||
	    !gs_uint64(env, argv[1], &request) || !gs_bytes(env, argv[2], &data, &length) ||
	    !size_fits(env, data, length))
		return NULL;
	if (length > sizeof(argument)) {
		napi_throw_range_error(env, NULL, "the structure is longer than 4096 bytes");
		return NULL;
	}
	memcpy(argument, data, length);
	result = do_ioctl(fd, request, argument);
	memcpy(data, argument, length);
	return gs_number(env, result);
}

/* A call that runs in the thread pool, so that pinning gigabytes does not stop the event loop. */
struct async_call {
	napi_async_work work;
	napi_deferred deferred;
	napi_ref buffer;
	int32_t fd;
	uint64_t request;
	int timeout_ms;
	bool is_poll;
	int result;
	size_t length;
	uint8_t argument[MAX_ARGUMENT];
};

static int do_poll(int fd, int timeout_ms)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	int result = poll(&entry, 1, timeout_ms);

	if (result < 0)
		return -errno;
	return entry.revents & POLLNVAL ? -EBADF : result;
}

static void async_execute(napi_env env, void *data)
{
	struct async_call *call = data;

	(void)env;
	if (call->is_poll)
		call->result = do_poll(call->fd, call->timeout_ms);
	else
		call->result = do_ioctl(call->fd, call->request, call->argument);
}

static void async_complete(napi_env env, napi_status status, void *data)
{
	struct async_call *call = data;
	napi_value buffer;
	uint8_t *bytes;
	size_t length;

	if (call->buffer != NULL) {
		/* The buffer may have been detached meanwhile: then its length is 0. */
		if (napi_get_reference_value(env, call->buffer, &buffer) == napi_ok && buffer != NULL &&
		    gs_bytes(env, buffer, &bytes, &length) && length >= call->length)
			memcpy(bytes, call->argument, call->length);
		napi_delete_reference(env, call->buffer);
	}
	napi_resolve_deferred(env, call->deferred,
			      gs_number(env, status == napi_ok ? call->result : -ECANCELED));
	napi_delete_async_work(env, call->work);
	free(call);
}

static napi_value start_async(napi_env env, struct async_call *call, const char *label)
{
	napi_value promise, name;

	if (napi_create_promise(env, &call->deferred, &promise) == napi_ok &&
	    napi_create_string_utf8(env, label, NAPI_AUTO_LENGTH, &name) == napi_ok &&
	    napi_create_async_work(env, NULL, name, async_execute, async_complete, call, &call->work) ==
		    napi_ok &&
	    napi_queue_async_work(env, call->work) == napi_ok)
		return promise;
	free(call);
	napi_throw_error(env, NULL, "the call could not be queued");
	return NULL;
}

static napi_value call_ioctl_async(napi_env env, napi_callback_info info)
{
	struct async_call *call;
	napi_value argv[3];
	uint64_t request;
	uint8_t *data;
	size_t length;
	int32_t fd;

	if (!gs_arguments(env, info, 3, argv) || !gs_int32(env, argv[0], &fd) ||
	    !gs_uint64(env, argv[1], &request) || !gs_bytes(env, argv[2], &data, &length) ||
	    !size_fits(env, data, length))
		return NULL;
	if (length > MAX_ARGUMENT) {
		napi_throw_range_error(env, NULL, "the structure is longer than 4096 bytes");
		return NULL;
	}
	call = calloc(1, sizeof(*call));
	if (call == NULL) {
		napi_throw_error(env, NULL, "out of memory");
		return NULL;
	}
	call->fd = fd;
	call->request = request;
	call->length = length;
	memcpy(call->argument, data, length);
	napi_create_reference(env, argv[2], 1, &call->buffer);
	return start_async(env, call, "gpusvm:ioctl");
}

static napi_value call_poll_async(napi_env env, napi_callback_info info)
{
	struct async_call *call;
	napi_value argv[2];
	int32_t fd, timeout_ms;

	if (!gs_arguments(env, info, 2, argv) || !gs_int32(env, argv[0], &fd) ||
	    !gs_int32(env, argv[1], &timeout_ms))
		return NULL;
	call = calloc(1, sizeof(*call));
	if (call == NULL) {
		napi_throw_error(env, NULL, "out of memory");
		return NULL;
	}
	call->fd = fd;
	call->timeout_ms = timeout_ms;
	call->is_poll = true;
	return start_async(env, call, "gpusvm:poll");
}

static napi_value call_poll(napi_env env, napi_callback_info info)
{
	napi_value argv[2];
	int32_t fd, timeout_ms;

	if (!gs_arguments(env, info, 2, argv) || !gs_int32(env, argv[0], &fd) ||
	    !gs_int32(env, argv[1], &timeout_ms))
		return NULL;
	return gs_number(env, do_poll(fd, timeout_ms));
}

static napi_value call_eventfd(napi_env env, napi_callback_info info)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	(void)info;
	return gs_number(env, fd < 0 ? -errno : fd);
}

static napi_value call_memfd(napi_env env, napi_callback_info info)
{
	napi_value argv[1];
	uint64_t length;
	int fd, error;

	if (!gs_arguments(env, info, 1, argv) || !gs_uint64(env, argv[0], &length))
		return NULL;
	fd = memfd_create("gpusvm", MFD_CLOEXEC);
	if (fd < 0)
		return gs_number(env, -errno);
	if (ftruncate(fd, (off_t)length) == 0)
		return gs_number(env, fd);
	error = errno;
	close(fd);
	return gs_number(env, -error);
}

bool gs_define_calls(napi_env env, napi_value exports)
{
	const napi_property_descriptor properties[] = {
		{ "ioctl", 0, call_ioctl, 0, 0, 0, napi_enumerable, 0 },
		{ "ioctlAsync", 0, call_ioctl_async, 0, 0, 0, napi_enumerable, 0 },
		{ "poll", 0, call_poll, 0, 0, 0, napi_enumerable, 0 },
		{ "pollAsync", 0, call_poll_async, 0, 0, 0, napi_enumerable, 0 },
		{ "memfd", 0, call_memfd, 0, 0, 0, napi_enumerable, 0 },
		{ "eventfd", 0, call_eventfd, 0, 0, 0, napi_enumerable, 0 },
	};

	return napi_define_properties(env, exports, sizeof(properties) / sizeof(properties[0]), properties) ==
	       napi_ok;
}
