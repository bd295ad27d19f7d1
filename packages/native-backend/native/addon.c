/* Entry point of the addon and the readers of arguments. One instance per environment: no state is shared. */
#include "arguments.h"

#include <math.h>

bool gs_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv)
{
	size_t argc = count;

	if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok || argc < count) {
		napi_throw_type_error(env, NULL, "too few arguments");
		return false;
	}
	return true;
}

bool gs_int32(napi_env env, napi_value value, int32_t *out)
{
	double number;

	if (napi_get_value_double(env, value, &number) == napi_ok && number == floor(number) &&
	    number >= INT32_MIN && number <= INT32_MAX) {
		*out = (int32_t)number;
		return true;
	}
	napi_throw_type_error(env, NULL, "a 32-bit integer is expected");
	return false;
}

bool gs_uint64(napi_env env, napi_value value, uint64_t *out)
{
	napi_valuetype type;
	bool lossless;
	double number;

	if (napi_typeof(env, value, &type) == napi_ok && type == napi_bigint) {
		if (napi_get_value_bigint_uint64(env, value, out, &lossless) == napi_ok && lossless)
			return true;
	} else if (napi_get_value_double(env, value, &number) == napi_ok && number == floor(number) &&
		   number >= 0 && number < 9007199254740992.0) {
		*out = (uint64_t)number;
		return true;
	}
	napi_throw_type_error(env, NULL, "an unsigned 64-bit integer is expected");
	return false;
}

bool gs_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length)
{
	napi_typedarray_type type;
	napi_value buffer;
	size_t offset;
	bool typed = false;
	void *start = NULL;

	if (napi_is_typedarray(env, value, &typed) != napi_ok || !typed ||
	    napi_get_typedarray_info(env, value, &type, length, &start, &buffer, &offset) != napi_ok ||
	    type != napi_uint8_array) {
		napi_throw_type_error(env, NULL, "a Uint8Array is expected");
		return false;
	}
	*data = start;
	return true;
}

napi_value gs_number(napi_env env, int64_t value)
{
	napi_value result;

	return napi_create_int64(env, value, &result) == napi_ok ? result : NULL;
}

NAPI_MODULE_INIT()
{
	if (!gs_define_calls(env, exports) || !gs_define_memory(env, exports))
		return NULL;
	return exports;
}
