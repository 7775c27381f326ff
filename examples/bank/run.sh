#!/bin/sh
# Two accounts: money moves, and what is refused moves none. See ../session.sh.
. "$(dirname "$0")/../session.sh"

ada="{$tag}/ada"
ben="{$tag}/ben"
expect '' open "$ada" 100
expect '' open "$ben" 50
refuse "account $ada exists" open "$ada" 1
expect '{from-balance: 70, to-balance: 80}' transfer "$ada" "$ben" 30
refuse "account $ada has only 70" transfer "$ada" "$ben" 71
refuse 'both accounts are the same' transfer "$ada" "$ada" 1
refuse "no account {$tag}/eve" transfer "$ben" "{$tag}/eve" 1
expect 70 balance "$ada"
expect 80 balance "$ben"
expect '' touch
echo 'bank: as expected'
