// The part of C's <string.h> that bindings and strings of UTF-8 need. With -mbulk-memory copying and filling are an
// instruction each, or some loads and stores where the size is known; the compiler calls no function for them.
#ifndef BANK_STRING_H
#define BANK_STRING_H

#include <stddef.h>

static inline void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    return __builtin_memcpy(to, from, size);
}

static inline void *memset(void *to, int byte, size_t size) {
    return __builtin_memset(to, byte, size);
}

int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);

#endif
