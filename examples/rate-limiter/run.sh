#!/bin/sh
# A bucket of five tokens that gets ten per second. See ../session.sh.
. "$(dirname "$0")/../session.sh"

refuse 'no such bucket: configure it first' take "$tag" 1
expect '' configure "$tag" 5 0
expect '{allowed: true, left: 2, retry-after-ms: 0}' take "$tag" 3
expect '{allowed: true, left: 0, retry-after-ms: 0}' take "$tag" 2
expect '{allowed: false, left: 0, retry-after-ms: 18446744073709551615}' take "$tag" 1
refuse '6 tokens wanted, the bucket holds 5' take "$tag" 6
expect '' configure "$tag" 5 10
sleep 1
expect '{allowed: true, left: 0, retry-after-ms: 0}' take "$tag" 5
echo 'rate-limiter: as expected'
