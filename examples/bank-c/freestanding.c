// What the bindings need of a C library, for a program that lives for one call.
//
// Promises that a function traps when memory is full, instead of going on: the call ends as a fault and nothing
// of it is kept. Leaves out giving memory back: only the newest block is freed or grown in place, all else when
// the call ends. Floats, files, printf and the rest of a library are not there.
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 8, PAGE_BYTES = 64 << 10 };

// The end of the program's own data, placed by the linker: only its address means something.
extern char __heap_base;

static char *newest = &__heap_base;
static char *next = &__heap_base;

void abort(void) {
    __builtin_trap();
}

// Takes so many bytes from `newest` on.
static void *extend(size_t size) {
    size_t room = __builtin_wasm_memory_size(0) * PAGE_BYTES - (size_t)newest;
    if (size > room) {
        size_t pages = (size - room - 1) / PAGE_BYTES + 1;
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) abort();
    }
    next = newest + size;
    return newest;
}

void *malloc(size_t size) {
    newest = (char *)(((size_t)next + ALIGNMENT - 1) & -ALIGNMENT);
    return extend(size);
}

void *realloc(void *block, size_t size) {
    if (block == NULL) return malloc(size);
    if (block == newest) return extend(size);
    // How long the block was is not known: what lies behind it is copied too, as far as memory is in use.
    size_t used = next - (char *)block;
    return memcpy(malloc(size), block, size < used ? size : used);
}

void free(void *block) {
    if (block == newest) next = newest;
}

int memcmp(const void *left, const void *right, size_t size) {
    const unsigned char *l = left, *r = right;
    for (size_t at = 0; at < size; at++) {
        if (l[at] != r[at]) return l[at] < r[at] ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return length;
}
