// The bank in C: the same keys and values as examples/bank, which is in Rust.
//
// Promises that the sum of all balances changes only when an account is opened. An account is the key
// `account/NAME`; its value is the balance in cents, 8 bytes little endian. A function that returns false has put
// its error into `err`: nothing is written then. Leaves out freeing: the memory goes with the call.
#include "bank.h"

#include <stdlib.h>
#include <string.h>

static bool refuse(bank_string_t *err, const char *before, const bank_string_t *account, bank_string_t after);
static bank_list_u8_t key_of(const bank_string_t *account);
static bool read_cents(bank_list_u8_t *key, const bank_string_t *account, uint64_t *cents, bank_string_t *err);
static void write_cents(bank_list_u8_t *key, uint64_t cents);
static bank_string_t concat(bank_string_t a, bank_string_t b, bank_string_t c);
static bank_string_t text(const char *chars);
static bank_string_t decimal(uint64_t number);

bool exports_bank_open_account(bank_string_t *account, uint64_t cents, bank_string_t *err) {
    bank_list_u8_t key = key_of(account);
    if (aspen_function_store_exists(&key)) return refuse(err, "account ", account, text(" exists"));
    write_cents(&key, cents);
    return true;
}

bool exports_bank_transfer(
    bank_string_t *from, bank_string_t *to, uint64_t amount, bank_receipt_t *receipt, bank_string_t *err) {
    if (from->len == to->len && memcmp(from->ptr, to->ptr, to->len) == 0) {
        bank_string_dup(err, "both accounts are the same");
        return false;
    }
    bank_list_u8_t from_key = key_of(from), to_key = key_of(to);
    uint64_t from_has, to_has;
    if (!read_cents(&from_key, from, &from_has, err)) return false;
    if (from_has < amount) {
        return refuse(err, "account ", from, concat(text(" has only "), decimal(from_has), text("")));
    }
    if (!read_cents(&to_key, to, &to_has, err)) return false;
    receipt->from_balance = from_has - amount;
    if (__builtin_add_overflow(to_has, amount, &receipt->to_balance)) {
        return refuse(err, "account ", to, text(" would overflow"));
    }
    write_cents(&from_key, receipt->from_balance);
    write_cents(&to_key, receipt->to_balance);
    return true;
}

bool exports_bank_balance(bank_string_t *account, uint64_t *cents, bank_string_t *err) {
    bank_list_u8_t key = key_of(account);
    return read_cents(&key, account, cents, err);
}

void exports_bank_touch(void) {}

static bool refuse(bank_string_t *err, const char *before, const bank_string_t *account, bank_string_t after) {
    *err = concat(text(before), *account, after);
    return false;
}

static bank_list_u8_t key_of(const bank_string_t *account) {
    bank_string_t key = concat(text("account/"), *account, text(""));
    return (bank_list_u8_t){key.ptr, key.len};
}

static bool read_cents(bank_list_u8_t *key, const bank_string_t *account, uint64_t *cents, bank_string_t *err) {
    aspen_function_store_versioned_t found;
    if (!aspen_function_store_get(key, &found)) return refuse(err, "no account ", account, text(""));
    // Written by something else: the call ends as a fault.
    if (found.value.len != sizeof *cents) abort();
    memcpy(cents, found.value.ptr, sizeof *cents);
    return true;
}

static void write_cents(bank_list_u8_t *key, uint64_t cents) {
    // WebAssembly is little endian.
    bank_list_u8_t value = {(uint8_t *)&cents, sizeof cents};
    aspen_function_store_put(key, &value);
}

static bank_string_t concat(bank_string_t a, bank_string_t b, bank_string_t c) {
    size_t length = a.len + b.len + c.len;
    uint8_t *joined = malloc(length);
    memcpy(joined, a.ptr, a.len);
    memcpy(joined + a.len, b.ptr, b.len);
    memcpy(joined + a.len + b.len, c.ptr, c.len);
    return (bank_string_t){joined, length};
}

static bank_string_t text(const char *chars) {
    return (bank_string_t){(uint8_t *)chars, strlen(chars)};
}

static bank_string_t decimal(uint64_t number) {
    enum { DIGITS_MAX = 20 };
    uint8_t *digits = malloc(DIGITS_MAX);
    size_t start = DIGITS_MAX;
    do {
        digits[--start] = '0' + number % 10;
        number /= 10;
    } while (number > 0);
    return (bank_string_t){digits + start, DIGITS_MAX - start};
}
