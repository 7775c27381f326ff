// The part of C's <stdlib.h> that ../freestanding.c has.
#ifndef BANK_STDLIB_H
#define BANK_STDLIB_H

#include <stddef.h>

_Noreturn void abort(void);
void *malloc(size_t size);
void *realloc(void *block, size_t size);
void free(void *block);

#endif
