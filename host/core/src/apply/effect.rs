//! The result of one entry: [`AppliedEntry`] for the caller of `apply`, [`Effect`] inside of this room.

use bytes::Bytes;

use crate::function::CallReport;
use crate::protocol::Outcome;
use crate::refusal::Refusal;

/// The result of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedEntry {
    /// The encoded [`Outcome`]. The client gets the same bytes on each repeat.
    pub outcome: Bytes,
    /// The call that ran. `None` on a repeat.
    pub called: Option<CallReport>,
}

/// The result of a command.
pub(super) enum Effect {
    /// The command wrote. The digest has the encoded outcome already.
    Done { outcome: Bytes, called: Option<CallReport> },
    /// The command wrote nothing.
    Answer { outcome: Outcome, called: Option<CallReport> },
}

impl Effect {
    /// True if the outcome is a refusal that does not last: see [`Refusal::is_transient`].
    pub(super) fn is_transient(&self) -> bool {
        self.refusal().is_some_and(Refusal::is_transient)
    }

    /// Returns the refusal, if the outcome is one.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Effect::Answer { outcome: Outcome::Refused(refusal), .. } => Some(refusal),
            _ => None,
        }
    }

    /// Returns the call that ran, if one did.
    pub(super) fn called_mut(&mut self) -> Option<&mut CallReport> {
        let (Effect::Done { called, .. } | Effect::Answer { called, .. }) = self;
        called.as_mut()
    }
}

impl From<Outcome> for Effect {
    fn from(outcome: Outcome) -> Effect {
        Effect::Answer { outcome, called: None }
    }
}

impl From<Refusal> for Effect {
    fn from(refusal: Refusal) -> Effect {
        Outcome::Refused(refusal).into()
    }
}
