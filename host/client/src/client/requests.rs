//! Requests to one shard: questions, and commands that are applied exactly once.
//!
//! Promises that a command travels under a request id of a session until its outcome is known, or that
//! the caller gets [`RequestError::OutcomeLost`]. A session that expired is opened anew.

use std::sync::Arc;
use std::time::Duration;

use aspen_core::codec::{decode, encode};
use aspen_core::ids::{RequestId, ShardId};
use aspen_core::protocol::{Command, Consistency, Outcome, Request, Response};
use aspen_core::refusal::Refusal;
use snafu::{OptionExt, ensure};

use crate::client::Client;
use crate::error::*;
use crate::session::Session;

/// The time that a node may take before it answers an upload: a leader tries to compile it for up to
/// 20 s, and then waits for other replicas as long and 3 s. Asked again meanwhile, it would begin anew.
const UPLOAD_TAKES: Duration = Duration::from_secs(45);

/// The same for an upload of more than 2 MiB: six minutes, and as long for the other replicas.
const LARGE_UPLOAD_TAKES: Duration = Duration::from_secs(750);

impl Client {
    /// Asks the leader of a shard. The request changes nothing, or may be done twice.
    pub(crate) async fn ask(
        &self,
        shard: ShardId,
        request: &Request,
    ) -> Result<Response, RequestError> {
        Ok(self.link().ask_leader(shard, || encode(request)).await?.response)
    }

    /// Asks the leader of a shard, or any replica if a stale answer will do.
    pub(crate) async fn ask_for(
        &self,
        shard: ShardId,
        request: &Request,
        consistency: Consistency,
    ) -> Result<Response, RequestError> {
        match consistency {
            Consistency::Linearizable => self.ask(shard, request).await,
            Consistency::Stale { .. } => self.link().ask_replica(shard, request).await,
        }
    }

    /// Proposes a command under a request id until its outcome is known.
    pub(crate) async fn propose(
        &self,
        shard: ShardId,
        command: &Command,
    ) -> Result<Outcome, RequestError> {
        let write = |request| {
            let (request, command) = (Some(request), command.clone());
            Request::Write { shard, request, command }
        };
        let takes = match command {
            Command::Upload(_) => UPLOAD_TAKES,
            Command::FinishUpload { .. } => LARGE_UPLOAD_TAKES,
            _ => Duration::ZERO,
        };
        self.propose_within(shard, takes, write).await
    }

    /// Proposes as [`Self::propose`]; a refusal by the shard is an error.
    pub(crate) async fn must_propose(
        &self,
        shard: ShardId,
        command: &Command,
    ) -> Result<Outcome, WriteError> {
        match self.propose(shard, command).await? {
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            outcome => Ok(outcome),
        }
    }

    /// Proposes as [`Self::propose`] a request of any form.
    pub(crate) async fn propose_as(
        &self,
        shard: ShardId,
        request: impl Fn(RequestId) -> Request,
    ) -> Result<Outcome, RequestError> {
        self.propose_within(shard, Duration::ZERO, request).await
    }

    /// Proposes as [`Self::propose_as`]; a node may take up to `takes` before it answers.
    async fn propose_within(
        &self,
        shard: ShardId,
        takes: Duration,
        request: impl Fn(RequestId) -> Request,
    ) -> Result<Outcome, RequestError> {
        loop {
            let session = self.session(shard).await?;
            let slot = session.slot().await;
            let body = || encode(&request(slot.request()));
            let delivery = self.link().ask_leader_at_length(shard, takes, body).await?;
            match outcome(delivery.response)? {
                Outcome::Refused(Refusal::SessionUnknown) => {
                    self.drop_session(shard, &session).await;
                    ensure!(!delivery.repeated, OutcomeLostSnafu);
                }
                Outcome::Refused(Refusal::SequenceForgotten) => return OutcomeLostSnafu.fail(),
                outcome => return Ok(outcome),
            }
        }
    }

    async fn session(&self, shard: ShardId) -> Result<Arc<Session>, RequestError> {
        let mut sessions = self.inner.sessions.lock().await;
        if let Some(session) = sessions.get(&shard) {
            return Ok(session.clone());
        }
        let request = Request::Write { shard, request: None, command: Command::OpenSession };
        let Outcome::SessionOpened { session } = outcome(self.ask(shard, &request).await?)? else {
            return ProtocolSnafu.fail();
        };
        let session = Session::new(session);
        sessions.insert(shard, session.clone());
        Ok(session)
    }

    async fn drop_session(&self, shard: ShardId, expired: &Arc<Session>) {
        let mut sessions = self.inner.sessions.lock().await;
        if sessions.get(&shard).is_some_and(|current| Arc::ptr_eq(current, expired)) {
            sessions.remove(&shard);
        }
    }
}

/// Reads the outcome in a response; any other response is an error.
pub(crate) fn outcome(response: Response) -> Result<Outcome, RequestError> {
    let Response::Outcome(bytes) = response else { return ProtocolSnafu.fail() };
    decode(&bytes).ok().context(ProtocolSnafu)
}
