#!/bin/sh
# Ten lamps: sold, released, a reservation that lapses, and one that the cluster gives back by itself.
# See ../session.sh.
. "$(dirname "$0")/../session.sh"

expect '{free: 10, reserved: 0, sold: 0}' restock "$tag" 10
expect TIME reserve "$tag" order-1 3 60000
expect TIME reserve "$tag" order-1 3 60000
expect TIME reserve "$tag" order-2 4 60000
refuse '4 wanted, 3 free' reserve "$tag" order-3 4 60000
expect '{free: 3, reserved: 4, sold: 3}' confirm "$tag" order-1
expect true release "$tag" order-2
expect '{free: 7, reserved: 0, sold: 3}' show "$tag"

expect TIME reserve "$tag" order-4 7 300
sleep 0.5
refuse 'the reservation for order-4 is over' confirm "$tag" order-4
expect TIME reserve "$tag" order-5 7 60000
expect '{free: 0, reserved: 0, sold: 10}' confirm "$tag" order-5

# The run comes after the reservation has lapsed, so nothing is left for the call after it.
expect '{free: 5, reserved: 0, sold: 10}' restock "$tag" 5
expect TIME reserve "$tag" order-6 5 300
"$ASPEN" schedule "$tag" "$name" give-back "$tag" --key "{$tag}" --in 1s --every 1m
until "$ASPEN" schedules | grep "^$tag: .* 1 runs, last returned"; do sleep 0.2; done
"$ASPEN" unschedule "$tag"
expect 0 give-back "$tag"
expect '{free: 5, reserved: 0, sold: 10}' show "$tag"
echo 'inventory: as expected'
