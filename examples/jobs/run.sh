#!/bin/sh
# Two jobs; the worker of the first one is too slow. See ../session.sh.
. "$(dirname "$0")/../session.sh"

expect 1 enqueue "$tag" 'resize cat.png'
expect 2 enqueue "$tag" 'resize dog.png'
expect 'some({id: 1, payload: "resize cat.png", attempt: 1, until-ms: TIME})' take "$tag" 60000
expect 'some({id: 2, payload: "resize dog.png", attempt: 1, until-ms: TIME})' take "$tag" 60000
expect TIME extend "$tag" 2 1 90000
expect '' finish "$tag" 2 1
expect TIME extend "$tag" 1 1 300
sleep 0.5
expect 'some({id: 1, payload: "resize cat.png", attempt: 2, until-ms: TIME})' take "$tag" 60000
refuse 'job 1 is at attempt 2' finish "$tag" 1 1
expect '' finish "$tag" 1 2
expect none take "$tag" 60000
echo 'jobs: as expected'
