//! The bytes of a log entry, in the log and on the wire.
//!
//! ```text
//! | form 1 | kind 1 | term 8 | leader 8 | index 8 | payload ...     integers little-endian
//!            0 blank    no payload
//!            1 proposal its bytes as they are
//!            2 members  as aspen_core::codec::encode writes them
//! ```
//!
//! Promises that decoding hostile bytes ends in a typed error and that a proposal's bytes are not
//! copied when decoded. The golden vectors below pin the form; a failing one means that stored logs
//! can no longer be read.

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::impls::leader_id_adv::LeaderId;
use snafu::{ResultExt, Snafu, ensure};

use crate::types::{LogId, Proposal, RaftEntry};

const FORM: u8 = 1;
const HEAD_BYTES: usize = 26;

const BLANK: u8 = 0;
const PROPOSAL: u8 = 1;
const MEMBERS: u8 = 2;

/// The reason why bytes are no log entry.
#[derive(Debug, Snafu)]
pub enum EntryError {
    /// Shorter than the head, or a blank entry with a payload.
    #[snafu(display("log entry of {bytes} bytes has a wrong length"))]
    Length {
        /// Length of the bytes.
        bytes: usize,
    },
    /// Written by a newer program, or not by Aspen.
    #[snafu(display("log entry has form {form} and kind {kind}, this program reads form {FORM}"))]
    Form {
        /// The first byte.
        form: u8,
        /// The second byte.
        kind: u8,
    },
    /// The list of members cannot be read.
    #[snafu(display("log entry with members is malformed"))]
    Members {
        /// The decoder's reason.
        source: aspen_core::codec::CodecError,
    },
}

/// Appends the bytes of `entry` to `out`.
pub fn encode_entry(entry: &RaftEntry, out: &mut Vec<u8>) {
    let LogId { leader_id, index } = entry.log_id;
    let members;
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        EntryPayload::Blank => (BLANK, &[]),
        EntryPayload::Normal(proposal) => (PROPOSAL, &proposal.0),
        EntryPayload::Membership(membership) => {
            members = aspen_core::codec::encode(membership);
            (MEMBERS, &members)
        }
    };
    out.reserve(HEAD_BYTES + payload.len());
    out.extend_from_slice(&[FORM, kind]);
    for number in [leader_id.term, leader_id.node_id, index] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(payload);
}

/// Reads the bytes of [`encode_entry`]; every byte must be used.
pub fn decode_entry(bytes: &Bytes) -> Result<RaftEntry, EntryError> {
    ensure!(bytes.len() >= HEAD_BYTES, LengthSnafu { bytes: bytes.len() });
    let (form, kind) = (bytes[0], bytes[1]);
    ensure!(form == FORM && kind <= MEMBERS, FormSnafu { form, kind });
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    let leader_id = LeaderId { term: number(2), node_id: number(10) };
    let payload = bytes.slice(HEAD_BYTES..);
    let payload = match kind {
        PROPOSAL => EntryPayload::Normal(Proposal(payload)),
        MEMBERS => {
            EntryPayload::Membership(aspen_core::codec::decode(&payload).context(MembersSnafu)?)
        }
        _ => {
            ensure!(payload.is_empty(), LengthSnafu { bytes: bytes.len() });
            EntryPayload::Blank
        }
    };
    Ok(RaftEntry { log_id: LogId { leader_id, index: number(18) }, payload })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::Membership;
    use openraft::impls::BasicNode;

    use super::*;

    fn entry(payload: EntryPayload<Proposal, u64, BasicNode>) -> RaftEntry {
        let leader_id = LeaderId { term: 2, node_id: 3 };
        RaftEntry { log_id: LogId { leader_id, index: 0x0405 }, payload }
    }

    fn members() -> EntryPayload<Proposal, u64, BasicNode> {
        let nodes = BTreeMap::from([(1, BasicNode::new("aa@1:2")), (2, BasicNode::new("bb@3:4"))]);
        EntryPayload::Membership(Membership::new(vec![BTreeSet::from([1])], nodes).unwrap())
    }

    #[test]
    fn storage_entry_form_is_pinned() {
        let check = |payload, kind: u8, body: &[u8]| {
            let entry = entry(payload);
            let mut bytes = vec![];
            encode_entry(&entry, &mut bytes);
            let numbers = [2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 0, 0, 0, 0, 0];
            assert_eq!(bytes, [&[1, kind], &numbers[..], body].concat());
            assert_eq!(decode_entry(&bytes.into()).unwrap(), entry);
        };
        check(EntryPayload::Blank, 0, b"");
        check(EntryPayload::Normal(Proposal(Bytes::from_static(b"put"))), 1, b"put");
        check(members(), 2, b"\x01\x01\x01\x01\x02\x01\x06aa@1:2\x02\x06bb@3:4");
    }

    #[test]
    fn storage_entry_decoder_refuses_what_it_did_not_write() {
        for entry in [entry(EntryPayload::Blank), entry(members())] {
            let mut bytes = vec![];
            encode_entry(&entry, &mut bytes);
            for end in 0..bytes.len() {
                assert!(decode_entry(&Bytes::copy_from_slice(&bytes[..end])).is_err(), "{end}");
            }
            let longer = [&bytes[..], &[0]].concat();
            assert!(decode_entry(&longer.into()).is_err());
            for (at, byte) in [(0, 2), (1, 3)] {
                let mut other = bytes.clone();
                other[at] = byte;
                assert!(matches!(decode_entry(&other.into()), Err(EntryError::Form { .. })));
            }
        }
    }
}
