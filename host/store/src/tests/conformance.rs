//! openraft's own suite for storage, and for the runtime in the simulation.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{SHARD, open_log, open_state, run};
use crate::{ShardLog, StateMachine, TypeConfig};

struct Builder;

impl StoreBuilder<TypeConfig, ShardLog, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, ShardLog, StateMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let log = open_log(dir.path()).unwrap().shard(SHARD);
        let (machine, _) = open_state(dir.path());
        Ok((dir, log, machine))
    }
}

#[test]
fn storage_passes_the_suite_of_openraft() {
    run(Suite::test_all(Builder)).unwrap();
}

#[cfg(madsim)]
#[test]
fn storage_simulated_runtime_passes_the_suite_of_openraft() {
    openraft_rt::testing::Suite::<crate::Runtime>::test_all();
}
