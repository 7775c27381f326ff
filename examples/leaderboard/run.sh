#!/bin/sh
# Four players, two of them equal. See ../session.sh.
. "$(dirname "$0")/../session.sh"

expect '{player: "ada", score: 300, rank: 1}' submit "$tag" ada 300
expect '{player: "ben", score: 70000, rank: 1}' submit "$tag" ben 70000
expect '{player: "cleo", score: 300, rank: 2}' submit "$tag" cleo 300
expect '{player: "dan", score: 5, rank: 4}' submit "$tag" dan 5
expect '{player: "ben", score: 70000, rank: 1}' submit "$tag" ben 10
first='{player: "ben", score: 70000, rank: 1}, {player: "ada", score: 300, rank: 2}'
expect "[$first, {player: \"cleo\", score: 300, rank: 2}]" top "$tag" 3
expect true remove "$tag" ben
expect 'some({player: "dan", score: 5, rank: 3})' rank "$tag" dan
expect none rank "$tag" ben
echo 'leaderboard: as expected'
