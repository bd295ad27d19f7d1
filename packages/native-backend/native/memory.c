/*
 * mmap as an external ArrayBuffer, and volatile accesses of 8 to 64 bits to device registers.
 *
 * A mapping is shared by its handle and by the ArrayBuffer over it. It is unmapped by munmap(), or when the last
 * of the two is collected. There is no call that tells the address of any other memory: so no address of the
 * JavaScript heap can reach an IOMMU.
 */
#include "arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct mapping {
	void *start; /* NULL after munmap */
	size_t length;
	int owners;
};

static void put_mapping(struct mapping *mapping)
{
	if (--mapping->owners > 0)
		return;
	if (mapping->start != NULL)
		munmap(mapping->start, mapping->length);
	free(mapping);
}

static void finalize(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)data;
	put_mapping(hint);
}

static struct mapping *get_mapping(napi_env env, napi_value handle)
{
	napi_valuetype type;
	void *data = NULL;

	if (napi_typeof(env, handle, &type) == napi_ok && type == napi_external &&
	    napi_get_value_external(env, handle, &data) == napi_ok)
		return data;
	napi_throw_type_error(env, NULL, "the handle of a mapping is expected");
	return NULL;
}

static bool set(napi_env env, napi_value object, const char *name, napi_value value)
{
	return napi_set_named_property(env, object, name, value) == napi_ok;
}

/* mmap(length, prot, flags, fd, offset) -> { buffer, handle, address } or a negated errno. */
static napi_value call_mmap(napi_env env, napi_callback_info info)
{
	napi_value argv[5], result, buffer, handle, address;
	int32_t prot, flags, fd;
	struct mapping *mapping;
	uint64_t length, offset;

	if (!gs_arguments(env, info, 5, argv) || !gs_uint64(env, argv[0], &length) ||
	    !gs_int32(env, argv[1], &prot) || !gs_int32(env, argv[2], &flags) ||
	    !gs_int32(env, argv[3], &fd) || !gs_uint64(env, argv[4], &offset))
		return NULL;
	mapping = calloc(1, sizeof(*mapping));
	if (mapping == NULL)
		return gs_number(env, -ENOMEM);
	mapping->start = mmap(NULL, length, prot, flags, fd, (off_t)offset);
	if (mapping->start == MAP_FAILED) {
		int error = errno;

		free(mapping);
		return gs_number(env, -error);
	}
	mapping->length = length;
	mapping->owners = 1;
	if (napi_create_external(env, mapping, finalize, mapping, &handle) != napi_ok) {
		put_mapping(mapping);
		napi_throw_error(env, NULL, "no handle for the mapping");
		return NULL;
	}
	mapping->owners++;
	if (napi_create_external_arraybuffer(env, mapping->start, length, finalize, mapping, &buffer) !=
	    napi_ok) {
		mapping->owners--;
		napi_throw_error(env, NULL, "this runtime has no external ArrayBuffers");
		return NULL;
	}
	if (napi_create_bigint_uint64(env, (uintptr_t)mapping->start, &address) != napi_ok ||
	    napi_create_object(env, &result) != napi_ok || !set(env, result, "buffer", buffer) ||
	    !set(env, result, "handle", handle) || !set(env, result, "address", address))
		return NULL;
	return result;
}

/*
 * munmap(handle, buffer): detaches the buffer first. -EBUSY when somebody else has taken the bytes away
 * (ArrayBuffer.prototype.transfer): they would dangle.
 */
static napi_value call_munmap(napi_env env, napi_callback_info info)
{
	struct mapping *mapping;
	napi_value argv[2];
	size_t length = 0;
	void *data = NULL;

	if (!gs_arguments(env, info, 2, argv))
		return NULL;
	mapping = get_mapping(env, argv[0]);
	if (mapping == NULL)
		return NULL;
	if (mapping->start == NULL)
		return gs_number(env, -EINVAL);
	if (napi_get_arraybuffer_info(env, argv[1], &data, &length) != napi_ok ||
	    data != mapping->start)
		return gs_number(env, -EBUSY);
	if (napi_detach_arraybuffer(env, argv[1]) != napi_ok)
		return gs_number(env, -EBUSY);
	if (munmap(mapping->start, mapping->length) < 0)
		return gs_number(env, -errno);
	mapping->start = NULL;
	return gs_number(env, 0);
}

/* madvise(handle, advice) over the whole mapping. */
static napi_value call_madvise(napi_env env, napi_callback_info info)
{
	struct mapping *mapping;
	napi_value argv[2];
	int32_t advice;

	if (!gs_arguments(env, info, 2, argv) || !gs_int32(env, argv[1], &advice))
		return NULL;
	mapping = get_mapping(env, argv[0]);
	if (mapping == NULL)
		return NULL;
	if (mapping->start == NULL)
		return gs_number(env, -EINVAL);
	return gs_number(env, madvise(mapping->start, mapping->length, advice) < 0 ? -errno : 0);
}

/* The register at an offset, or NULL after throwing: out of bounds, unaligned or unmapped. */
static void *register_at(napi_env env, napi_value handle, napi_value offset_value, size_t width)
{
	struct mapping *mapping = get_mapping(env, handle);
	uint64_t offset;

	if (mapping == NULL || !gs_uint64(env, offset_value, &offset))
		return NULL;
	if (mapping->start == NULL) {
		napi_throw_range_error(env, NULL, "the mapping has been unmapped");
		return NULL;
	}
	if (offset % width != 0 || offset > mapping->length || mapping->length - offset < width) {
		napi_throw_range_error(env, NULL, "the offset is unaligned or outside of the mapping");
		return NULL;
	}
	return (uint8_t *)mapping->start + offset;
}

static bool width_of(napi_env env, napi_value value, size_t *width)
{
	int32_t bits;

	if (!gs_int32(env, value, &bits))
		return false;
	if (bits != 8 && bits != 16 && bits != 32 && bits != 64) {
		napi_throw_range_error(env, NULL, "the width is 8, 16, 32 or 64 bits");
		return false;
	}
	*width = (size_t)bits / 8;
	return true;
}

/* read(handle, offset, bits) -> BigInt for 64 bits, otherwise a number. One load of that width. */
static napi_value call_read(napi_env env, napi_callback_info info)
{
	napi_value argv[3], result;
	size_t width;
	void *at;

	if (!gs_arguments(env, info, 3, argv) || !width_of(env, argv[2], &width))
		return NULL;
	at = register_at(env, argv[0], argv[1], width);
	if (at == NULL)
		return NULL;
	switch (width) {
	case 1:
		return gs_number(env, *(volatile uint8_t *)at);
	case 2:
		return gs_number(env, *(volatile uint16_t *)at);
	case 4:
		return gs_number(env, *(volatile uint32_t *)at);
	default:
		return napi_create_bigint_uint64(env, *(volatile uint64_t *)at, &result) == napi_ok ? result :
												      NULL;
	}
}

/* write(handle, offset, bits, value): one store of that width. */
static napi_value call_write(napi_env env, napi_callback_info info)
{
	napi_value argv[4];
	uint64_t value;
	size_t width;
	void *at;

	if (!gs_arguments(env, info, 4, argv) || !width_of(env, argv[2], &width) ||
	    !gs_uint64(env, argv[3], &value))
		return NULL;
	at = register_at(env, argv[0], argv[1], width);
	if (at == NULL)
		return NULL;
	if (width < 8 && value >> (8 * width) != 0) {
		napi_throw_range_error(env, NULL, "the value does not fit the register");
		return NULL;
	}
	/* Everything written to memory before is visible to the device before the doorbell. */
	__sync_synchronize();
	switch (width) {
	case 1:
		*(volatile uint8_t *)at = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)at = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)at = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)at = value;
	}
	return NULL;
}

bool gs_define_memory(napi_env env, napi_value exports)
{
	const napi_property_descriptor properties[] = {
		{ "mmap", 0, call_mmap, 0, 0, 0, napi_enumerable, 0 },
		{ "munmap", 0, call_munmap, 0, 0, 0, napi_enumerable, 0 },
		{ "madvise", 0, call_madvise, 0, 0, 0, napi_enumerable, 0 },
		{ "read", 0, call_read, 0, 0, 0, napi_enumerable, 0 },
		{ "write", 0, call_write, 0, 0, 0, napi_enumerable, 0 },
	};

	return napi_define_properties(env, exports, sizeof(properties) / sizeof(properties[0]), properties) ==
	       napi_ok;
}
