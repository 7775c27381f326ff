//! Uploads: a component to every shard, in one entry or in parts.
//!
//! Promises that a shard's name points to the component when [`Client::upload`] returns, and that what an
//! interrupted one left on a shard is gone after 15 minutes. A component of up to 2 MiB goes in one
//! entry; a large one in parts of 1 MiB, and then an entry that puts them together. A shard that has it
//! already, from an earlier try or under another name, gets no part.

use aspen_core::limits::{COMPONENT_BYTES_MAX, LARGE_COMPONENT_BYTES_MAX, UPLOAD_PART_BYTES_MAX};
use aspen_core::{Command, ComponentHash, Name, Outcome, Refusal, ShardId, Upload, UploadPart};
use bytes::Bytes;
use snafu::ensure;

use crate::client::Client;
use crate::error::*;

/// Times that the parts of one shard are begun anew, should they be gone before the end.
const RESTARTS_MAX: u32 = 2;

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// Bytes that arrived, on all shards together.
    pub sent: u64,
    /// Bytes to send in all: the component's, for each shard.
    pub total: u64,
}

impl Client {
    /// Stores a component on every shard and points `name` to it.
    pub async fn upload(
        &self,
        name: &str,
        component: impl Into<Bytes>,
    ) -> Result<ComponentHash, WriteError> {
        self.upload_with(name, component, |_| {}).await
    }

    /// As [`Self::upload`]; `progress` is called whenever a part, or a whole component, arrived.
    pub async fn upload_with(
        &self,
        name: &str,
        component: impl Into<Bytes>,
        progress: impl Fn(UploadProgress),
    ) -> Result<ComponentHash, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let bytes: Bytes = component.into();
        let limit = LARGE_COMPONENT_BYTES_MAX;
        ensure!(bytes.len() <= limit, ComponentSnafu { bytes: bytes.len(), limit });
        let hash = ComponentHash::of(&bytes);
        let size = bytes.len() as u64;
        let total = size * self.router().all().count() as u64;
        let mut before = 0;
        for shard in self.router().all() {
            let sent = |sent: u64| progress(UploadProgress { sent: before + sent, total });
            if bytes.len() <= COMPONENT_BYTES_MAX {
                self.upload_whole(shard, &name, &bytes, hash).await?;
            } else {
                self.upload_parts(shard, &name, &bytes, hash, sent).await?;
            }
            sent(size);
            before += size;
        }
        Ok(hash)
    }

    async fn upload_whole(
        &self,
        shard: ShardId,
        name: &Name,
        bytes: &Bytes,
        hash: ComponentHash,
    ) -> Result<(), WriteError> {
        let upload = Upload { name: name.clone(), bytes: bytes.clone() };
        match self.propose(shard, &Command::Upload(upload)).await? {
            Outcome::Uploaded { component } if component == hash => Ok(()),
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    async fn upload_parts(
        &self,
        shard: ShardId,
        name: &Name,
        bytes: &Bytes,
        component: ComponentHash,
        sent: impl Fn(u64),
    ) -> Result<(), WriteError> {
        let point = Command::Point { name: name.clone(), component };
        match self.propose(shard, &point).await? {
            Outcome::Pointed => return Ok(()),
            Outcome::Refused(Refusal::ComponentUnknown) => {}
            Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
            _ => return Err(ProtocolSnafu.build().into()),
        }
        let mut restarts = 0;
        loop {
            self.send_parts(shard, bytes, component, &sent).await?;
            let finish = Command::FinishUpload { name: name.clone(), component };
            match self.propose(shard, &finish).await? {
                Outcome::Uploaded { component: uploaded } if uploaded == component => return Ok(()),
                Outcome::Pointed => return Ok(()),
                // It took longer than parts are kept.
                Outcome::Refused(Refusal::UploadIncomplete) if restarts < RESTARTS_MAX => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
            restarts += 1;
        }
    }

    /// Sends what is not there; the shard says where to go on.
    async fn send_parts(
        &self,
        shard: ShardId,
        bytes: &Bytes,
        component: ComponentHash,
        sent: impl Fn(u64),
    ) -> Result<(), WriteError> {
        let total = bytes.len() as u64;
        let (mut offset, mut restarts) = (0, 0);
        while offset < total {
            let start = offset as usize;
            let end = bytes.len().min(start + UPLOAD_PART_BYTES_MAX);
            let part = UploadPart { component, total, offset, bytes: bytes.slice(start..end) };
            let there = match self.propose(shard, &Command::UploadPart(part)).await? {
                Outcome::PartStored { bytes } if bytes <= total => bytes,
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            };
            if there <= offset {
                restarts += 1;
                let refusal = Refusal::UploadIncomplete;
                ensure!(restarts <= RESTARTS_MAX, RefusalSnafu { refusal });
            }
            offset = there;
            sent(offset);
        }
        Ok(())
    }
}
