#!/bin/sh
# One customer, three purchases in two months. See ../session.sh.
. "$(dirname "$0")/../session.sh"

# A customer is letters and digits, and the tag of its keys.
tag=$(printf '%s' "$tag" | tr -d -)
expect '{purchases: 1, cds: 2, cents: 2995}' record-purchase "$tag" 1997-01-05 2 2995
expect '{purchases: 2, cds: 3, cents: 4194}' record-purchase "$tag" 1997-01-05 1 1199
expect '{purchases: 3, cds: 8, cents: 10193}' record-purchase "$tag" 1997-02-28 5 5999
refuse 'date "1997-02-29" is no date like 1997-01-31' record-purchase "$tag" 1997-02-29 1 1199
expect '{purchases: 2, cds: 3, cents: 4194}' totals-of "$tag" 'some("1997-01")'
expect '{purchases: 3, cds: 8, cents: 10193}' totals-of "$tag" none
expect '{purchases: 0, cds: 0, cents: 0}' totals-of "$tag" 'some("1998-01")'
expect '{purchases: 3, cds: 8, cents: 10193}' totals-of-all "$tag" --across
refuse 'customer "a b" is not letters and digits' totals-of 'a b' none
echo 'purchases: as expected'
