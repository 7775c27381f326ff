//! The faults of a run: they begin one after the other, and several last at a time.
//!
//! Promises that everything can be mended, and is at the end: machines that halted because their disk
//! is damaged join with a new one, so only a minority may lose its disk. A majority may be
//! without power, cut off or full for a while: then nothing commits, and nothing wrong may be said.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use aspen_client::Client;
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::limits::REPLICATION_FACTOR_DEFAULT;
use aspen_store::sim_files;
use madsim::time::{Instant, sleep, sleep_until, timeout};

use super::cluster::SimCluster;
use super::disk::Trouble;
use super::fault_kind::FaultKind;
use super::join::join;
use super::plan::Plan;
use super::trace::Trace;

/// The way to mend a fault.
#[derive(Clone, Debug)]
enum Mend {
    Restart(u8),
    Resume(u8),
    Links(Vec<(u8, u8)>),
    FastLinks,
    FastDisk(u8),
    /// The disk works again, and its machine starts anew: a log that failed takes nothing more.
    Disk(u8),
}

/// Faults under way.
pub struct Attack<'a> {
    cluster: &'a SimCluster,
    plan: &'a Plan,
    trace: Trace,
    mends: BTreeMap<(Instant, u64), Mend>,
    count: u64,
    /// Machines whose log may be damaged, or that may have lost a replica: a minority.
    damaged: Vec<u8>,
    /// True once every shard has committed: before, the founder's log may be the only one.
    is_founded: bool,
}

impl<'a> Attack<'a> {
    /// No fault yet.
    pub fn new(cluster: &'a SimCluster, plan: &'a Plan, trace: &Trace) -> Self {
        let trace = trace.clone();
        Self {
            cluster,
            plan,
            trace,
            mends: BTreeMap::new(),
            count: 0,
            damaged: vec![],
            is_founded: false,
        }
    }

    /// Lets things go wrong until the plan's work is over, and mends everything. `client` is for
    /// changes of members.
    pub async fn run(mut self, client: &Client) {
        let until = Instant::now() + self.plan.work;
        while Instant::now() < until {
            let calm = self.plan.calm.mul_f64(rand::random_range(0.0..1.0));
            let next = (Instant::now() + calm).min(until);
            self.mend_until(next).await;
            if !self.plan.faults.is_empty() && next < until {
                let fault = self.plan.faults[rand::random_range(0..self.plan.faults.len())];
                self.fault(fault, client).await;
            }
        }
        self.mend_all(client).await;
    }

    /// Waits, and mends the faults that are due meanwhile.
    async fn mend_until(&mut self, until: Instant) {
        while let Some(entry) = self.mends.first_entry() {
            let (at, _) = *entry.key();
            if at > until {
                break;
            }
            let mend = entry.remove();
            sleep_until(at).await;
            self.mend(mend);
        }
        sleep_until(until).await;
    }

    /// Lets `mend` happen after a while.
    fn later(&mut self, mend: Mend) {
        let after = Duration::from_millis(rand::random_range(100..4_000));
        self.count += 1;
        self.mends.insert((Instant::now() + after, self.count), mend);
    }

    fn mend(&mut self, mend: Mend) {
        let cluster = self.cluster;
        match mend {
            Mend::Restart(number) => cluster.restart(number),
            Mend::Resume(number) => {
                self.trace.event(format_args!("  n{number} goes on"));
                cluster.pause(number, false);
            }
            Mend::Links(links) => {
                self.trace.event(format_args!("  links work again: {links:?}"));
                links.into_iter().for_each(|(from, to)| cluster.cut(from, to, false));
            }
            Mend::FastLinks => cluster.network.speed_up(),
            Mend::FastDisk(number) => cluster.slow_disk(number, Duration::ZERO),
            Mend::Disk(number) => {
                self.trace.event(format_args!("  the disk of n{number} works again"));
                cluster.trouble(number, None);
                if cluster.up().contains(&number) {
                    cluster.crash(number);
                    cluster.restart(number);
                }
            }
        }
    }

    /// Returns a machine that has power and nothing to be mended, by chance.
    fn sound(&self) -> Option<u8> {
        let busy = self.mends.values().filter_map(|mend| match mend {
            Mend::Restart(number)
            | Mend::Resume(number)
            | Mend::FastDisk(number)
            | Mend::Disk(number) => Some(*number),
            Mend::Links(_) | Mend::FastLinks => None,
        });
        let busy: Vec<u8> = busy.collect();
        let sound = self.cluster.up().into_iter().filter(|number| !busy.contains(number));
        let sound: Vec<u8> = sound.collect();
        (!sound.is_empty()).then(|| sound[rand::random_range(0..sound.len())])
    }

    fn begin(&self, fault: FaultKind, about: impl std::fmt::Display) {
        self.trace.fault(fault);
        self.trace.event(format_args!("FAULT {fault:?} {about}"));
    }

    async fn fault(&mut self, fault: FaultKind, client: &Client) {
        let cluster = self.cluster;
        let Some(number) = self.sound() else { return };
        let machine = format!("n{number}");
        match fault {
            FaultKind::Crash => {
                self.begin(fault, machine);
                cluster.crash(number);
                self.later(Mend::Restart(number));
            }
            FaultKind::PowerFailure => {
                self.begin(fault, machine);
                cluster.fail_power(number, rand::random_range(0..12)).await;
                self.later(Mend::Restart(number));
            }
            FaultKind::Blackout | FaultKind::RestartOfAll => self.stop_all(fault).await,
            FaultKind::Pause => {
                self.begin(fault, machine);
                cluster.pause(number, true);
                self.later(Mend::Resume(number));
            }
            FaultKind::ClockJump => {
                let far = 100 + 2 * self.plan.skew_ms;
                let ahead = rand::random_range(-far..=far);
                self.begin(fault, format_args!("{machine} to {ahead} ms"));
                cluster.set_clock(number, ahead);
            }
            FaultKind::Partition | FaultKind::OneWay | FaultKind::LeaderIsolated => {
                self.cut(fault, number)
            }
            FaultKind::SlowLink => self.slow_link(number),
            FaultKind::SlowDisk => {
                self.begin(fault, machine);
                cluster.slow_disk(number, Duration::from_millis(rand::random_range(5..300)));
                self.later(Mend::FastDisk(number));
            }
            FaultKind::FullDisk | FaultKind::BrokenDisk => {
                self.begin(fault, machine);
                let trouble =
                    if fault == FaultKind::FullDisk { Trouble::Full } else { Trouble::Broken };
                cluster.trouble(number, Some(trouble));
                self.later(Mend::Disk(number));
            }
            FaultKind::LogRot => self.rot(number).await,
            FaultKind::StateLost => {
                self.begin(fault, machine);
                cluster.crash(number);
                lose_states(cluster, number);
                self.later(Mend::Restart(number));
            }
            FaultKind::ReplicaLost => self.lose_replica(number),
            FaultKind::ModulesLost => {
                self.begin(fault, machine);
                cluster.crash(number);
                remove_folder(&cluster.states(number).join("modules"));
                self.later(Mend::Restart(number));
            }
            FaultKind::Members => self.change_members(client).await,
            FaultKind::Move => self.move_replica(client).await,
        }
    }

    async fn stop_all(&mut self, fault: FaultKind) {
        self.begin(fault, "");
        while let Some(number) = self.sound() {
            match fault {
                FaultKind::Blackout => self.cluster.fail_power(number, 0).await,
                _ => self.cluster.crash(number),
            }
            self.later(Mend::Restart(number));
        }
    }

    fn slow_link(&mut self, number: u8) {
        let Some(other) = self.other(number) else { return };
        self.begin(FaultKind::SlowLink, format_args!("n{number} n{other}"));
        let delay = Duration::from_millis(rand::random_range(20..400));
        self.cluster.slow_link(number, other, delay);
        self.cluster.slow_link(other, number, delay);
        self.later(Mend::FastLinks);
    }

    fn lose_replica(&mut self, number: u8) {
        if !self.may_damage(number) {
            return;
        }
        self.begin(FaultKind::ReplicaLost, format_args!("n{number}"));
        self.cluster.crash(number);
        let folder = one_folder(self.cluster, number);
        remove_folder(&folder);
        sim_files::lose_all(&folder).expect("the copies can be deleted");
        self.later(Mend::Restart(number));
    }

    fn other(&self, number: u8) -> Option<u8> {
        let others: Vec<u8> = self.cluster.seated().into_iter().filter(|n| *n != number).collect();
        (!others.is_empty()).then(|| others[rand::random_range(0..others.len())])
    }

    fn cut(&mut self, fault: FaultKind, number: u8) {
        let all = self.cluster.seated();
        let shard = ShardId::new(rand::random_range(0..self.cluster.shards));
        let one_side: Vec<u8> = match fault {
            FaultKind::Partition => {
                all.iter().copied().filter(|_| rand::random_bool(0.5)).collect()
            }
            FaultKind::LeaderIsolated => self.cluster.leader(shard).into_iter().collect(),
            _ => vec![number],
        };
        let is_other = |to: &&u8| !one_side.contains(to);
        let mut links = vec![];
        for from in &one_side {
            for to in all.iter().filter(is_other) {
                links.push((*from, *to));
                if fault != FaultKind::OneWay {
                    links.push((*to, *from));
                }
            }
        }
        if fault == FaultKind::OneWay && !links.is_empty() {
            links = vec![links[rand::random_range(0..links.len())]];
        }
        self.begin(fault, format_args!("{one_side:?}: {links:?}"));
        links.iter().for_each(|(from, to)| self.cluster.cut(*from, *to, true));
        self.later(Mend::Links(links));
    }

    /// Returns true if enough other machines are whole. A damaged machine counts as damaged until it joins
    /// anew: a replica that was lost may still wait for another one's snapshot.
    fn may_damage(&mut self, number: u8) -> bool {
        self.is_founded |= self.cluster.is_founded();
        if !self.is_founded {
            return false;
        }
        if !self.damaged.contains(&number) {
            // All replicas of a shard but one may be among few nodes.
            let replicas = self.cluster.founders.min(REPLICATION_FACTOR_DEFAULT);
            if self.damaged.len() >= (usize::from(replicas) - 1) / 2 {
                return false;
            }
            self.damaged.push(number);
        }
        true
    }

    /// Damages a log, if enough others keep theirs: a node that cannot read its log has forgotten its vote.
    async fn rot(&mut self, number: u8) {
        if !self.may_damage(number) {
            return;
        }
        self.begin(FaultKind::LogRot, format_args!("n{number}"));
        if !self.cluster.end(number).await {
            return self.later(Mend::Restart(number));
        }
        self.cluster.rot_log(number, rand::random_range(1..60));
        self.later(Mend::Restart(number));
    }

    /// The machine that waits joins; a machine that has joined leaves and joins anew.
    async fn change_members(&mut self, client: &Client) {
        let waiting = self.cluster.founders + 1;
        // A change needs a majority for as long as it takes; others would wait behind it.
        self.mend_all(client).await;
        self.begin(FaultKind::Members, format_args!("n{waiting}"));
        if self.cluster.up().contains(&waiting) {
            self.cluster.crash(waiting);
        }
        join(self.cluster, waiting, client, &self.trace).await;
    }

    /// Moves a replica, or evens all out, while the next faults happen. Nobody waits for the move.
    async fn move_replica(&mut self, client: &Client) {
        let map = self.cluster.map();
        let shard = ShardId::new(rand::random_range(0..self.cluster.shards));
        let without = map.placement.nodes.keys().filter(|node| !map.placement.hosts(**node, shard));
        let without: Vec<NodeId> = without.copied().collect();
        if without.is_empty() {
            return;
        }
        let to = without[rand::random_range(0..without.len())];
        let evens_out = rand::random_bool(0.3);
        let what = if evens_out { "all".to_string() } else { format!("{shard} to {to}") };
        self.begin(FaultKind::Move, what);
        // It may be refused, and no node may be able to do it: only the rest of the run counts.
        let asked = async {
            match evens_out {
                true => client.rebalance().await,
                false => client.move_replica(shard, None, to).await,
            }
        };
        if let Ok(Err(refused)) = timeout(Duration::from_secs(1), asked).await {
            self.trace.event(format_args!("  not moved: {refused}"));
        }
    }

    /// Mends everything, and lets machines with damaged disks join anew.
    async fn mend_all(&mut self, client: &Client) {
        for (_, mend) in std::mem::take(&mut self.mends) {
            self.mend(mend);
        }
        // Long enough to start.
        sleep(Duration::from_secs(2)).await;
        for (number, reason) in self.cluster.halted() {
            assert!(self.damaged.contains(&number), "n{number} halts without need: {reason}");
            self.cluster.crash(number);
            join(self.cluster, number, client, &self.trace).await;
            self.damaged.retain(|damaged| *damaged != number);
        }
    }
}

/// Returns the folder of one of a machine's replicas, by chance; the folder may not exist.
fn one_folder(cluster: &SimCluster, number: u8) -> std::path::PathBuf {
    let name = match rand::random_range(0..=cluster.shards) {
        shard if shard == cluster.shards => "system".to_string(),
        shard => format!("shard-{shard}"),
    };
    cluster.states(number).join(name)
}

/// Deletes or damages files with states.
fn lose_states(cluster: &SimCluster, number: u8) {
    let folder = one_folder(cluster, number);
    let Ok(files) = fs::read_dir(&folder) else { return };
    let mut files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The snapshot stays: with it and the log nothing is lost.
        if !name.starts_with("state-") {
            continue;
        }
        match rand::random_bool(0.5) {
            true => fs::remove_file(&file).expect("the file can be deleted"),
            false => {
                let mut bytes = fs::read(&file).expect("the file can be read");
                for _ in 0..bytes.len() / 1_000 {
                    let at = rand::random_range(0..bytes.len());
                    bytes[at] ^= 0x55;
                }
                fs::write(&file, bytes).expect("the file can be written");
            }
        }
    }
}

fn remove_folder(folder: &std::path::Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("the folder can be deleted");
    }
}
