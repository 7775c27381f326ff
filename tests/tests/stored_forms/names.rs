//! The names of every type of `aspen-core` that is stored or sent, in their order, which is the form.
//!
//! `tests/golden/names-N.txt` holds the names of each set of forms. New variants go to the end of an enum. A
//! line that changes in any other way is a new form: see [`crate::FORMS`].

use aspen_core::function::{
    Call, CallEnd, CallEndKind, CallNote, Field, FunctionSignature, FunctionStatistics, GuestFault,
    Histogram, Manifest, Type,
};
use aspen_core::ids::{ComponentRef, RequestId, TxnId};
use aspen_core::key::KeyRange;
use aspen_core::placement::{PlacedNode, Placement, PlacementChange, Replicas};
use aspen_core::protocol::{
    ClusterInfo, Command, ComponentInfo, Consistency, DryRun, Entry, ErrorReply, Item, LeaseInfo,
    NodeStatus, Outcome, Page, Query, QueryReply, ReplicaStatus, Request, Response, ScanRequest,
    ScanToken, Upload, UploadPart, ViewInfo,
};
use aspen_core::refusal::Refusal;
use aspen_core::state::{
    FirstRun, Header, LastRun, LeaseImage, NewSchedule, Schedule, SessionImage, StateHash,
    UploadParts, Verification,
};
use aspen_core::transaction::{
    Actual, Compare, ConflictError, Expectation, Expiry, Operation, OperationResult, Read,
    Relation, Transact, WriteOp,
};
use aspen_core::two_phase::{
    Branch, CommitReply, Decide, Decision, Finish, FunctionRun, PendingPrepare, Prepare, Vote,
};
use aspen_core::view::{Alias, AliasTarget, Canary, Record};
use aspen_tests::serialized::names;

/// A line for each type: its name, and the names in it.
fn lines() -> String {
    macro_rules! lines {
        ($($ty:ident)*) => {
            [$(format!("{}: {}\n", stringify!($ty), names::<$ty>().join(" "))),*].concat()
        };
    }
    lines! {
        ComponentRef RequestId TxnId KeyRange PlacedNode Placement PlacementChange Replicas
        Refusal Alias AliasTarget Canary Record Actual Compare ConflictError Expectation
        Expiry Operation OperationResult Read Relation Transact WriteOp Call CallEnd
        CallEndKind CallNote Field FunctionSignature FunctionStatistics GuestFault Histogram
        Manifest Type Branch CommitReply Decide Decision Finish FunctionRun PendingPrepare
        Prepare Vote FirstRun Header LastRun LeaseImage NewSchedule Schedule SessionImage
        StateHash UploadParts Verification ClusterInfo Command ComponentInfo Consistency
        DryRun Entry ErrorReply Item LeaseInfo NodeStatus Outcome Page Query QueryReply
        ReplicaStatus Request Response ScanRequest ScanToken Upload UploadPart ViewInfo
    }
}

#[test]
fn golden_names_keep_their_order() {
    let path = crate::golden().join(format!("names-{}.txt", crate::FORMS));
    if std::env::var_os("UPDATE_FOLDERS").is_some() {
        std::fs::write(&path, lines()).unwrap();
    }
    let (golden, lines) = (std::fs::read_to_string(path).unwrap(), lines());
    for (golden, now) in golden.lines().zip(lines.lines()) {
        assert_eq!(golden, now);
    }
    assert_eq!(golden.lines().count(), lines.lines().count(), "a type came or went");
}
