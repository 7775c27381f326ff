//! The kinds of faults that a run can meet.
//!
//! The order of the kinds is a part of a seed's meaning: the plan picks from [`FaultKind::ALL`] in that
//! order. Leaves out how a fault begins and ends: see `faults.rs`.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A node's process is killed and started again.
    Crash,
    /// A machine loses power in the middle of a commit: all that was not synced is lost, or torn.
    PowerFailure,
    /// All machines lose power at once.
    Blackout,
    /// All nodes are killed at once.
    RestartOfAll,
    /// A machine does nothing for a while, and then goes on as if nothing had been.
    Pause,
    /// A clock jumps, ahead or back.
    ClockJump,
    /// Two groups of machines cannot talk to each other.
    Partition,
    /// Messages of one machine to another are lost, those the other way are not.
    OneWay,
    /// The leader can talk to no other node, with writes of its clients pending.
    LeaderIsolated,
    /// Messages between two machines take long.
    SlowLink,
    /// The disk of one machine takes long.
    SlowDisk,
    /// The disk of a log is full.
    FullDisk,
    /// The disk of a log does not write.
    BrokenDisk,
    /// Bits of a log change while its machine is down, after its node ended in good order. (After
    /// another end, damage in the last commit looks to redb like a commit that never was one.)
    LogRot,
    /// The state of a shard is gone, or damaged, when its machine starts.
    StateLost,
    /// A shard's state and snapshot are gone when its machine starts: another replica must help.
    ReplicaLost,
    /// The compiled functions are gone when a machine starts.
    ModulesLost,
    /// A node joins under load, and leaves again.
    Members,
    /// A replica moves to another node, or all are evened out.
    Move,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 19] = [
        FaultKind::Crash,
        FaultKind::PowerFailure,
        FaultKind::Blackout,
        FaultKind::RestartOfAll,
        FaultKind::Pause,
        FaultKind::ClockJump,
        FaultKind::Partition,
        FaultKind::OneWay,
        FaultKind::LeaderIsolated,
        FaultKind::SlowLink,
        FaultKind::SlowDisk,
        FaultKind::FullDisk,
        FaultKind::BrokenDisk,
        FaultKind::LogRot,
        FaultKind::StateLost,
        FaultKind::ReplicaLost,
        FaultKind::ModulesLost,
        FaultKind::Members,
        FaultKind::Move,
    ];
}
