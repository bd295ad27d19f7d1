/* Reading of call arguments. Each reader throws a TypeError or RangeError and returns false when it cannot. */
#ifndef GPUSVM_ARGUMENTS_H
#define GPUSVM_ARGUMENTS_H

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool gs_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *argv);
bool gs_int32(napi_env env, napi_value value, int32_t *out);
/* A BigInt, or a number that is a whole number from 0 to 2^53 - 1. */
bool gs_uint64(napi_env env, napi_value value, uint64_t *out);
/* The bytes of a Uint8Array. */
bool gs_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);

napi_value gs_number(napi_env env, int64_t value);

/* Both return false after throwing. */
bool gs_define_calls(napi_env env, napi_value exports);
bool gs_define_memory(napi_env env, napi_value exports);

#endif
