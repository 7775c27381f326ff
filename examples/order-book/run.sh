#!/bin/sh
# Three sellers and a buyer: the best price first, then the oldest order. See ../session.sh.
. "$(dirname "$0")/../session.sh"

expect '{id: 1, trades: [], resting: 5, refused: 0}' place "$tag" ada sell 102 5
expect '{id: 2, trades: [], resting: 5, refused: 0}' place "$tag" ben sell 101 5
expect '{id: 3, trades: [], resting: 5, refused: 0}' place "$tag" cleo sell 101 5
trades='{maker: 2, price: 101, quantity: 5}, {maker: 3, price: 101, quantity: 2}'
expect "{id: 4, trades: [$trades], resting: 0, refused: 0}" place "$tag" dan buy 101 7
expect '{id: 5, trades: [{maker: 3, price: 101, quantity: 3}], resting: 1, refused: 0}' \
    place "$tag" dan buy 101 4
best='buy: [{id: 5, trader: "dan", price: 101, open: 1}]'
expect "{$best, sell: [{id: 1, trader: \"ada\", price: 102, open: 5}]}" show "$tag" 10
refuse 'order 1 is not of dan' cancel "$tag" dan 1
expect 5 cancel "$tag" ada 1
expect "{$best, sell: []}" show "$tag" 10
echo 'order-book: as expected'
