#!/bin/sh
# A directory of three users, found by address and by city. See ../session.sh.
. "$(dirname "$0")/../session.sh"

expect 1 add "$tag" '{name: "Ada", email: "ada@example.org", city: "London"}'
expect 2 add "$tag" '{name: "Ben", email: "ben@example.org", city: "London"}'
refuse 'ada@example.org belongs to user 1' \
    add "$tag" '{name: "Eve", email: "Ada@Example.org", city: "Rome"}'
expect 3 add "$tag" '{name: "Cleo", email: "cleo@example.org", city: "Rome"}'
expect 'some({id: 2, user: {name: "Ben", email: "ben@example.org", city: "London"}})' \
    by-email "$tag" BEN@example.org

expect '' update "$tag" 2 '{name: "Ben", email: "ben@example.net", city: "Rome"}'
expect none by-email "$tag" ben@example.org
expect '[{id: 1, user: {name: "Ada", email: "ada@example.org", city: "London"}}]' \
    in-city "$tag" London 0
expect '[{id: 3, user: {name: "Cleo", email: "cleo@example.org", city: "Rome"}}]' \
    in-city "$tag" Rome 2
expect true remove "$tag" 3
expect none get "$tag" 3
echo 'users: as expected'
