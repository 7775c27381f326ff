//! Components and the aliases that point to them: listing, describing, pointing, removing.
//!
//! A change goes to one shard after the other: a change that fails half-way is done on some shards, and
//! the same request again does the rest.

use aspen_core::function::Manifest;
use aspen_core::ids::{ComponentHash, ShardId};
use aspen_core::protocol::{Command, ComponentInfo, Outcome, Request, Response};
use aspen_core::view::Alias;

use crate::arguments::to_name;
use crate::client::Client;
use crate::error::*;
use crate::functions::calls::to_component;

impl Client {
    /// Points a name to a component that was uploaded before, on every shard.
    pub async fn point(&self, name: &str, component: ComponentHash) -> Result<(), WriteError> {
        self.point_by(&Command::Point { name: to_name(name)?, component }).await
    }

    /// Removes a name from every shard, and the components that no other name has or had. Returns false
    /// if no such name exists.
    pub async fn remove_name(&self, name: &str) -> Result<bool, WriteError> {
        let remove = &Command::RemoveName { name: to_name(name)? };
        let existed = self.on_each_shard(|shard| async move {
            match self.must_propose(shard, remove).await? {
                Outcome::NameRemoved { existed, .. } => Ok(existed),
                _ => Err(WriteError::from(RequestError::Protocol)),
            }
        });
        Ok(existed.await?.contains(&true))
    }

    /// Sends a share of a name's calls to another uploaded component, on every shard. The share is in
    /// tags of keys of a hundred (1 to 100); `None` ends it, as [`Self::point`] and [`Self::upload`] do.
    /// Calls whose keys have one tag always go to the same component.
    pub async fn canary(
        &self,
        name: &str,
        share: Option<(ComponentHash, u8)>,
    ) -> Result<(), WriteError> {
        self.point_by(&Command::Canary { name: to_name(name)?, canary: share }).await
    }

    /// Proposes on every shard a command that changes the component of a name.
    async fn point_by(&self, command: &Command) -> Result<(), WriteError> {
        let pointed = self.on_each_shard(|shard| async move {
            match self.must_propose(shard, command).await? {
                Outcome::Pointed => Ok(()),
                _ => Err(WriteError::from(RequestError::Protocol)),
            }
        });
        pointed.await.map(|_| ())
    }

    /// Returns the components that a name points to and pointed to.
    pub async fn history(&self, name: &str) -> Result<Alias, RequestError> {
        let request = Request::History { name: to_name(name)? };
        match self.ask(ShardId::new(0), &request).await? {
            Response::History(alias) if !alias.history.is_empty() => Ok(alias),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Returns the names and the components that they point to.
    pub async fn components(&self) -> Result<Vec<ComponentInfo>, RequestError> {
        match self.ask(ShardId::new(0), &Request::Components).await? {
            Response::Components(components) => Ok(components),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Returns the functions of a component, with their types.
    pub async fn describe(&self, component: &str) -> Result<Manifest, RequestError> {
        let request = Request::Describe { component: to_component(component)? };
        match self.ask(ShardId::new(0), &request).await? {
            Response::Manifest(manifest) => Ok(manifest),
            _ => ProtocolSnafu.fail(),
        }
    }
}
