#!/bin/sh
# Uploads the component, moves money, and shows what is refused.
. "$(dirname "$0")/../session.sh"

expect '' open-account '{'$tag'}/ada' 100
expect '' open-account '{'$tag'}/ben' 50
refuse 'account {'$tag'}/ada exists' open-account '{'$tag'}/ada' 1
expect '{from-balance: 70, to-balance: 80}' transfer '{'$tag'}/ada' '{'$tag'}/ben' 30
refuse 'account {'$tag'}/ada has only 70' transfer '{'$tag'}/ada' '{'$tag'}/ben' 71
expect '70' balance '{'$tag'}/ada'
refuse 'no account {'$tag'}/eve' balance '{'$tag'}/eve'
echo 'bank-c: as expected'
