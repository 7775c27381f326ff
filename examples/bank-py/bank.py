"""The bank in Python: the same keys and values as examples/bank, which is in Rust.

Promises that the sum of all balances changes only when an account is opened. An account is the key
`account/NAME`; its value is the balance in cents, 8 bytes little endian. What a function raises as `Err`
is its error: nothing is written then. Any other exception ends the call as a fault.
"""

import wit_world
from componentize_py_types import Err
from wit_world import Receipt
from wit_world.imports import store

LARGEST = (1 << 64) - 1


class WitWorld(wit_world.WitWorld):
    def open_account(self, account: str, cents: int) -> None:
        key = key_of(account)
        if store.exists(key):
            raise Err(f"account {account} exists")
        store.put(key, to_bytes(cents))

    def transfer(self, from_: str, to: str, amount: int) -> Receipt:
        if from_ == to:
            raise Err("both accounts are the same")
        has = self.balance(from_)
        if has < amount:
            raise Err(f"account {from_} has only {has}")
        from_balance, to_balance = has - amount, self.balance(to) + amount
        if to_balance > LARGEST:
            raise Err(f"account {to} would overflow")
        store.put(key_of(from_), to_bytes(from_balance))
        store.put(key_of(to), to_bytes(to_balance))
        return Receipt(from_balance, to_balance)

    def balance(self, account: str) -> int:
        found = store.get(key_of(account))
        if found is None:
            raise Err(f"no account {account}")
        return int.from_bytes(found.value, "little")

    def touch(self) -> None:
        pass


def key_of(account: str) -> bytes:
    return f"account/{account}".encode()


def to_bytes(cents: int) -> bytes:
    return cents.to_bytes(8, "little")
