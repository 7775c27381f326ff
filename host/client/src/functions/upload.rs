//! Uploads: a component to every shard, in one entry or in parts.
//!
//! Promises that the name points to the component on every shard when [`Client::upload`] returns. The
//! parts that an interrupted upload left on a shard are gone after 15 minutes. A component of up to 2 MiB
//! goes in one entry; a large one in parts of 1 MiB, and then an entry that puts them together. A shard
//! that has the component already, from an earlier try or under another name, gets no part.

use aspen_core::ids::{ComponentHash, Name, ShardId};
use aspen_core::limits::{COMPONENT_BYTES_MAX, LARGE_COMPONENT_BYTES_MAX, UPLOAD_PART_BYTES_MAX};
use aspen_core::protocol::{Command, Outcome, Upload, UploadPart};
use aspen_core::refusal::Refusal;
use bytes::Bytes;
use snafu::ensure;

use crate::arguments::to_name;
use crate::client::Client;
use crate::error::*;

/// Times that the parts of one shard are begun anew, if they are gone before the end.
const RESTARTS_MAX: u32 = 2;

/// The progress of an upload.
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

    /// Uploads as [`Self::upload`]; calls `progress` whenever a part, or a whole component, arrived.
    pub async fn upload_with(
        &self,
        name: &str,
        component: impl Into<Bytes>,
        progress: impl Fn(UploadProgress),
    ) -> Result<ComponentHash, WriteError> {
        let name = to_name(name)?;
        let bytes: Bytes = component.into();
        let limit = LARGE_COMPONENT_BYTES_MAX;
        ensure!(bytes.len() <= limit, ComponentSnafu { bytes: bytes.len(), limit });
        let hash = ComponentHash::of(&bytes);
        let size = bytes.len() as u64;
        let total = size * self.router().all().count() as u64;
        let (name, bytes, progress) = (&name, &bytes, &progress);
        let uploaded = self.on_each_shard(|shard| async move {
            let before = size * u64::from(shard.get());
            let sent = |sent: u64| progress(UploadProgress { sent: before + sent, total });
            if bytes.len() <= COMPONENT_BYTES_MAX {
                self.upload_whole(shard, name, bytes, hash).await?;
            } else {
                self.upload_parts(shard, name, bytes, hash, sent).await?;
            }
            sent(size);
            Ok::<_, WriteError>(())
        });
        uploaded.await.map(|_| hash)
    }

    async fn upload_whole(
        &self,
        shard: ShardId,
        name: &Name,
        bytes: &Bytes,
        hash: ComponentHash,
    ) -> Result<(), WriteError> {
        let upload = Upload { name: name.clone(), bytes: bytes.clone() };
        match self.must_propose(shard, &Command::Upload(upload)).await? {
            Outcome::Uploaded { component } if component == hash => Ok(()),
            _ => Err(RequestError::Protocol.into()),
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
            _ => return Err(RequestError::Protocol.into()),
        }
        let mut restarts = 0;
        loop {
            self.send_parts(shard, bytes, component, &sent).await?;
            let finish = Command::FinishUpload { name: name.clone(), component };
            match self.propose(shard, &finish).await? {
                Outcome::Uploaded { component: uploaded } if uploaded == component => return Ok(()),
                Outcome::Pointed => return Ok(()),
                // The upload took longer than parts are kept.
                Outcome::Refused(Refusal::UploadIncomplete) if restarts < RESTARTS_MAX => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(RequestError::Protocol.into()),
            }
            restarts += 1;
        }
    }

    /// Sends the parts that the shard does not have; the shard says where to continue.
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
            let stored = match self.must_propose(shard, &Command::UploadPart(part)).await? {
                Outcome::PartStored { bytes } if bytes <= total => bytes,
                _ => return Err(RequestError::Protocol.into()),
            };
            if stored <= offset {
                restarts += 1;
                let refusal = Refusal::UploadIncomplete;
                ensure!(restarts <= RESTARTS_MAX, RefusalSnafu { refusal });
            }
            offset = stored;
            sent(offset);
        }
        Ok(())
    }
}
