//! Claims about the store as a whole, and what their tests share.

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::impls::leader_id_adv::LeaderId;

use crate::types::{Entry, LogId, Proposal};

pub fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId { term, node_id: 1 }, index }
}

pub fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let proposal = Proposal(Bytes::from(vec![index as u8; bytes]));
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(proposal) }
}
