// The bank in JavaScript: the same keys and values as examples/bank, which is in Rust.
//
// Promises that the sum of all balances changes only when an account is opened. An account is the key
// `account/NAME`; its value is the balance in cents, 8 bytes little endian. What a function throws is
// its error: nothing is written then.
import { exists, get, put } from 'aspen:function/store@0.1.0';

const LARGEST = (1n << 64n) - 1n;
const utf8 = new TextEncoder();

export function openAccount(account, cents) {
  const key = keyOf(account);
  if (exists(key)) throw `account ${account} exists`;
  put(key, toBytes(cents));
}

export function transfer(from, to, amount) {
  if (from === to) throw 'both accounts are the same';
  const has = balance(from);
  if (has < amount) throw `account ${from} has only ${has}`;
  const fromBalance = has - amount;
  const toBalance = balance(to) + amount;
  if (toBalance > LARGEST) throw `account ${to} would overflow`;
  put(keyOf(from), toBytes(fromBalance));
  put(keyOf(to), toBytes(toBalance));
  return { fromBalance, toBalance };
}

export function balance(account) {
  const found = get(keyOf(account));
  if (found === undefined) throw `no account ${account}`;
  const { buffer, byteOffset } = found.value;
  return new DataView(buffer, byteOffset).getBigUint64(0, true);
}

export function touch() {}

function keyOf(account) {
  return utf8.encode(`account/${account}`);
}

function toBytes(cents) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, cents, true);
  return bytes;
}
