//! [`Writer`]: all writes of one entry, at one new revision.
//!
//! Promises that all writes of one entry have one revision, that an entry which changes nothing leaves the
//! revision as it was, and that the key count, leases, tombstones and the digest follow every write. The
//! rule for versions is [`Record::written`]. Leaves out conditions: the caller has checked them.

use crate::digest::DigestBuilder;
use crate::ids::{LeaseId, Revision, Timestamp, Version};
use crate::key::{Key, Value};
use crate::state::{Header, LeaseImage, State};
use crate::transaction::{Expiry, Operation, OperationResult, WriteOp};
use crate::view::{HostError, Record};

/// Writes at one new revision.
pub struct Writer<'a, S: State> {
    state: &'a mut S,
    header: Header,
    revision: Revision,
    now: Timestamp,
    digest: DigestBuilder,
    changed: bool,
}

impl<'a, S: State> Writer<'a, S> {
    /// Begins the next revision.
    pub fn begin(state: &'a mut S) -> Self {
        let header = state.header();
        let (revision, now) = (header.revision.next(), header.clock);
        let digest = DigestBuilder::after(header.digest);
        Self { state, header, revision, now, digest, changed: false }
    }

    /// Ends the revision. `outcome` gets the shard's revision and returns the bytes that the digest
    /// covers too.
    pub fn finish(mut self, outcome: impl FnOnce(Revision) -> bytes::Bytes) -> bytes::Bytes {
        if self.changed {
            self.header.revision = self.revision;
        }
        let outcome = outcome(self.header.revision);
        self.digest.number(self.header.revision.get()).bytes(&outcome);
        self.header.digest = self.digest.finish();
        self.state.set_header(self.header);
        outcome
    }

    /// Returns the state with the writes so far.
    pub fn state(&self) -> &S {
        self.state
    }

    /// Does one write. Returns the new version for a set or an expire, and the removed version for
    /// a delete; 0 if the key was absent.
    pub fn write(&mut self, write: &WriteOp) -> Result<Version, HostError> {
        match write {
            WriteOp::Set { key, value, expiry } => {
                let before = self.state.get(key)?;
                self.set(key, value.clone(), before, *expiry)
            }
            WriteOp::Expire { key, expiry } => match self.state.get(key)? {
                Some(before) => self.set(key, before.value.clone(), Some(before), *expiry),
                None => Ok(Version::ABSENT),
            },
            WriteOp::Delete { key } => match self.state.get(key)? {
                Some(before) => self.remove(key, &before),
                None => Ok(Version::ABSENT),
            },
        }
    }

    fn set(
        &mut self,
        key: &Key,
        value: Value,
        before: Option<Record>,
        expiry: Expiry,
    ) -> Result<Version, HostError> {
        let held = before.as_ref().map_or(LeaseId::NONE, |record| record.lease);
        let lease = self.attach(key, held, expiry);
        let record = Record::written(before.as_ref(), value, self.revision, lease);
        let version = record.version;
        self.digest.number(1).bytes(key.as_bytes()).bytes(record.value.as_bytes());
        self.digest.number(version.get()).number(lease.get());
        self.state.set(key, record)?;
        if before.is_none() {
            self.header.keys += 1;
            self.state.resident_mut().tombstones.raise(key);
        }
        self.changed = true;
        Ok(version)
    }

    fn remove(&mut self, key: &Key, before: &Record) -> Result<Version, HostError> {
        self.digest.number(0).bytes(key.as_bytes());
        self.state.remove(key)?;
        self.header.keys -= 1;
        let resident = self.state.resident_mut();
        resident.tombstones.bury(key, self.revision);
        resident.leases.detach(before.lease, key);
        self.changed = true;
        Ok(before.version)
    }

    /// Moves a key from its present lease to the one of `expiry`, and returns that lease.
    fn attach(&mut self, key: &Key, held: LeaseId, expiry: Expiry) -> LeaseId {
        let wanted = match expiry {
            Expiry::Keep => return held,
            Expiry::Never if held == LeaseId::NONE => return held,
            Expiry::Never => LeaseId::NONE,
            Expiry::Lease(lease) => lease,
            Expiry::After(ttl_ms) => self.grant(ttl_ms, true),
        };
        let leases = &mut self.state.resident_mut().leases;
        leases.detach(held, key);
        if wanted != LeaseId::NONE {
            leases.attach(wanted, key);
        }
        wanted
    }

    /// Grants a lease that is due after `ttl_ms` milliseconds.
    pub fn grant(&mut self, ttl_ms: u64, is_private: bool) -> LeaseId {
        let lease = self.header.last_lease.next();
        self.header.last_lease = lease;
        self.digest.number(2).number(lease.get()).number(ttl_ms);
        let due = self.now.after(ttl_ms);
        let image = LeaseImage { lease, ttl_ms, due, is_private };
        self.state.resident_mut().leases.grant(image);
        lease
    }

    /// Renews a lease for its whole time to live. Returns the time when it is due.
    pub fn keep_alive(&mut self, lease: LeaseId) -> Timestamp {
        self.digest.number(3).number(lease.get());
        self.state.resident_mut().leases.keep_alive(lease, self.now)
    }

    /// Ends a lease and removes its keys. Returns the number of keys.
    pub fn end_lease(&mut self, lease: LeaseId) -> Result<u64, HostError> {
        self.digest.number(4).number(lease.get());
        let keys = self.state.resident_mut().leases.end(lease);
        for key in &keys {
            let before = self.state.get(key)?.expect("a key on a lease exists");
            self.remove(key, &before)?;
        }
        Ok(keys.len() as u64)
    }
}

/// Does one operation.
pub fn operate<S: State>(
    writer: &mut Writer<'_, S>,
    operation: &Operation,
) -> Result<OperationResult, HostError> {
    Ok(match operation {
        Operation::Get(key) => OperationResult::Got(writer.state().get(key)?),
        Operation::Write(write @ WriteOp::Delete { .. }) => {
            OperationResult::Deleted { version: writer.write(write)? }
        }
        Operation::Write(write) => OperationResult::Written { version: writer.write(write)? },
        Operation::Grant { ttl_ms } => {
            OperationResult::Granted { lease: writer.grant(*ttl_ms, false) }
        }
        Operation::KeepAlive(lease) => {
            OperationResult::KeptAlive { due: writer.keep_alive(*lease) }
        }
        Operation::Revoke(lease) => OperationResult::Revoked { keys: writer.end_lease(*lease)? },
    })
}
