//! The simulator's command line: `cargo sim --help`, or `make sim` for a sweep.
//!
//! Leaves out the simulated world (`aspen_tests::sim`) and how a sweep runs (`aspen_tests::sweep`).

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!("this is a normal build, without the simulator: use `make sim`");
    std::process::ExitCode::from(2)
}

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    simulator::main()
}

#[cfg(madsim)]
mod simulator {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;
    use std::sync::Arc;
    use std::{env, fs, thread};

    use aspen_core::defect::{self, Defect};
    use aspen_tests::guests::component;
    use aspen_tests::sim::{FaultKind, Plan, Report, Workload, run, run_seed, scale};
    use aspen_tests::sweep::{Summary, Sweep, SweepReport, headline, scratch};
    use clap::{Args, Parser, Subcommand};

    /// Components that the workloads upload.
    const COMPONENTS: [&str; 2] = ["bank", "purchases"];

    /// Runs whole clusters in simulated time, each decided by its seed.
    #[derive(Parser)]
    #[command(name = "aspen-sim")]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Subcommand)]
    enum Command {
        /// Run one seed and print its story
        Run {
            /// Leave out the story; print a summary as JSON
            #[arg(long)]
            brief: bool,
            /// Write the story to this file
            #[arg(long)]
            trace: Option<PathBuf>,
            #[command(flatten)]
            options: Options,
            /// The seed
            seed: u64,
        },
        /// Measure how throughput grows with shards, one simulated core for each replica
        Scale {
            /// Numbers of shards
            #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16")]
            shards: Vec<u16>,
            /// Nodes, with three replicas of each shard among them
            #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(3..=15))]
            nodes: u8,
            /// Write a chart to this file
            #[arg(long)]
            svg: Option<PathBuf>,
            /// The seed
            #[arg(long, default_value_t = 1)]
            seed: u64,
        },
        /// Run many seeds, a process each; fails if one fails
        Sweep {
            /// The number of seeds
            #[arg(long, default_value_t = 100)]
            seeds: u64,
            /// The first
            #[arg(long, default_value_t = 1)]
            from: u64,
            /// Processes at a time [default: one per core]
            #[arg(long)]
            jobs: Option<usize>,
            /// Stop at the first that fails
            #[arg(long)]
            first: bool,
            #[command(flatten)]
            options: Options,
        },
    }

    #[derive(Args, Clone, Default)]
    struct Options {
        /// Plant a defect: ack-before-sync, stale-read, ... (`aspen_core::defect`)
        #[arg(long)]
        defect: Option<String>,
        /// Only this workload; may be repeated
        #[arg(long)]
        workload: Vec<String>,
        /// Only this fault; may be repeated
        #[arg(long)]
        fault: Vec<String>,
        /// The share of messages that get lost
        #[arg(long)]
        loss: Option<f64>,
        /// So many shards
        #[arg(long)]
        shards: Option<u16>,
        /// So many nodes
        #[arg(long, value_parser = clap::value_parser!(u8).range(3..=7))]
        nodes: Option<u8>,
        /// No faults, registers only: the run that measures the simulator's speed
        #[arg(long)]
        registers: bool,
        /// No faults; the clock of one node leaks into the results of its functions
        #[arg(long)]
        diverge: bool,
        /// No faults; the nodes get a newer program, one by one, and then functions its profile
        #[arg(long, conflicts_with = "diverge")]
        upgrade: bool,
        /// Folder with the components, if they are built already
        #[arg(long)]
        components: Option<PathBuf>,
    }

    pub fn main() -> ExitCode {
        // The log of the nodes, for a run that fails: `RUST_LOG=info cargo sim run 7`. It changes the
        // order of hash maps, and so may change the run.
        if env::var_os("RUST_LOG").is_some() {
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
            log.with_writer(std::io::stderr).init();
        }
        let done = match Cli::parse().command {
            Command::Run { brief, trace, options, seed } => run_one(seed, brief, trace, &options),
            Command::Scale { shards, nodes, svg, seed } => measure_scale(&shards, nodes, svg, seed),
            Command::Sweep { seeds, from, jobs, first, options } => {
                sweep(from..from + seeds, jobs, first, options)
            }
        };
        match done {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("aspen-sim: {error}");
                ExitCode::from(2)
            }
        }
    }

    type Done = Result<bool, Box<dyn std::error::Error>>;

    /// In one process, a thread for each: nothing of one run reaches the next.
    fn measure_scale(shards: &[u16], nodes: u8, svg: Option<PathBuf>, seed: u64) -> Done {
        println!("shards  puts/s of simulated time  times one shard  of linear");
        let mut points: Vec<(u16, f64)> = vec![];
        for shards in shards.iter().copied() {
            let folder = scratch()?;
            let path = folder.path().to_path_buf();
            let rate = Arc::new(std::sync::Mutex::new(0.0));
            let slot = rate.clone();
            run_seed(seed, false, move |trace| async move {
                let measured = scale::measure(seed, nodes, shards, &path, trace).await;
                *slot.lock().expect("no panic under the lock") = measured;
            });
            let rate = *rate.lock().expect("no panic under the lock");
            points.push((shards, rate));
            let (first, one) = points[0];
            let times = rate / one * f64::from(first);
            println!("{shards:>6} {rate:>25.0} {times:>16.2} {:>10.2}", times / f64::from(shards));
        }
        if let Some(svg) = svg {
            fs::write(svg, scale::chart(nodes, &points))?;
        }
        Ok(true)
    }

    fn run_one(seed: u64, brief: bool, trace: Option<PathBuf>, options: &Options) -> Done {
        let plan = options.plan(seed)?;
        let components = Arc::new(components(options.components.as_deref())?);
        let folder = scratch()?;
        if let Some(planted) = plan.defect {
            defect::plant(planted);
        }
        let place = folder.path().to_path_buf();
        let report = run_seed(seed, !brief, move |trace| async move {
            run(plan, &place, components, trace).await
        });
        if let Some(path) = trace {
            fs::write(path, &report.trace)?;
        }
        let summary = summary(seed, &report);
        match brief {
            true => println!("{}", serde_json::to_string(&summary)?),
            false => println!(
                "seed {seed} passes: {} s simulated in {} ms, {} messages, trace {}",
                summary.simulated_ms / 1_000,
                summary.real_ms,
                summary.messages,
                summary.trace
            ),
        }
        Ok(true)
    }

    fn summary(seed: u64, report: &Report) -> Summary {
        let fault = |(fault, count): (&FaultKind, &u64)| (format!("{fault:?}"), *count);
        Summary {
            seed,
            trace: format!("{:016x}", seahash::hash(report.trace.as_bytes())),
            messages: report.messages,
            simulated_ms: report.simulated.as_millis() as u64,
            real_ms: report.real.as_millis() as u64,
            faults: report.faults.iter().map(fault).collect(),
        }
    }

    fn sweep(
        seeds: std::ops::Range<u64>,
        jobs: Option<usize>,
        first: bool,
        mut options: Options,
    ) -> Done {
        options.plan(seeds.start)?;
        let folder = scratch()?;
        if options.components.is_none() {
            for name in COMPONENTS {
                fs::write(folder.path().join(name), component(name))?;
            }
            options.components = Some(folder.path().to_path_buf());
        }
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let sweep = Sweep {
            program: env::current_exe()?,
            args: options.args(),
            seeds,
            jobs: jobs.unwrap_or(cores),
            stops_at_failure: first,
            is_shown: true,
        };
        let swept = sweep.run();
        print(&swept);
        Ok(swept.failures.is_empty())
    }

    fn print(swept: &SweepReport) {
        let SweepReport { passed, failures, sum, took } = swept;
        for failure in failures {
            println!("seed {} FAILS: {}", failure.seed, headline(&failure.what));
            println!("  replay: make sim SEED={}", failure.seed);
        }
        let hours = sum.simulated_ms as f64 / 3.6e6;
        let speed = sum.simulated_ms as f64 / sum.real_ms.max(1) as f64;
        println!(
            "{passed} seeds passed, {} failed, in {:.0} s: {hours:.2} simulated hours, {:.1} \
             simulated s per second and process, {} messages",
            failures.len(),
            took.as_secs_f64(),
            speed,
            sum.messages
        );
        let total: u64 = sum.faults.values().sum();
        println!("{total} faults:");
        for (fault, count) in &sum.faults {
            println!("  {fault:<16} {count:>8}");
        }
    }

    fn components(folder: Option<&Path>) -> Result<BTreeMap<String, bytes::Bytes>, std::io::Error> {
        let mut components = BTreeMap::new();
        for name in COMPONENTS {
            let bytes = match folder {
                Some(folder) => fs::read(folder.join(name))?,
                None => component(name),
            };
            components.insert(name.to_string(), bytes.into());
        }
        Ok(components)
    }

    impl Options {
        fn plan(&self, seed: u64) -> Result<Plan, String> {
            let mut plan = if self.registers { Plan::registers(seed) } else { Plan::new(seed) };
            plan.defect = self.defect.as_deref().map(named_defect).transpose()?;
            plan.shards = self.shards.unwrap_or(plan.shards);
            plan.nodes = self.nodes.unwrap_or(plan.nodes);
            plan.loss = self.loss.unwrap_or(plan.loss);
            if !self.workload.is_empty() {
                let named = |name: &String| named(name, &Workload::ALL);
                plan.workloads = self.workload.iter().map(named).collect::<Result<_, _>>()?;
            }
            if self.diverge || self.upgrade {
                plan = Plan { diverges: self.diverge, upgrades: self.upgrade, ..plan };
                plan.workloads = vec![Workload::Bank, Workload::Counters];
                plan.faults.clear();
            }
            if self.upgrade {
                // Every shard is on every node, so the last old one is asked for each.
                plan.nodes = 3;
            }
            if !self.fault.is_empty() {
                let named = |name: &String| named(name, &FaultKind::ALL);
                plan.faults = self.fault.iter().map(named).collect::<Result<_, _>>()?;
            }
            Ok(plan)
        }

        /// The arguments of one run with these options.
        fn args(&self) -> Vec<String> {
            let mut args = vec!["run".to_string(), "--brief".to_string()];
            let mut add = |name: &str, value: &str| args.extend([name.into(), value.into()]);
            self.defect.iter().for_each(|defect| add("--defect", defect));
            self.workload.iter().for_each(|workload| add("--workload", workload));
            self.fault.iter().for_each(|fault| add("--fault", fault));
            let folder = self.components.iter();
            folder.for_each(|folder| add("--components", &folder.to_string_lossy()));
            if let Some(loss) = self.loss {
                args.extend(["--loss".into(), loss.to_string()]);
            }
            if let Some(shards) = self.shards {
                args.extend(["--shards".into(), shards.to_string()]);
            }
            if let Some(nodes) = self.nodes {
                args.extend(["--nodes".into(), nodes.to_string()]);
            }
            if self.registers {
                args.push("--registers".into());
            }
            if self.diverge {
                args.push("--diverge".into());
            }
            if self.upgrade {
                args.push("--upgrade".into());
            }
            args
        }
    }

    fn named_defect(name: &str) -> Result<Defect, String> {
        let found = Defect::ALL.into_iter().find(|defect| defect.name() == name);
        let known = || Defect::ALL.map(Defect::name).join(", ");
        found.ok_or_else(|| format!("no defect {name:?}; known are {}", known()))
    }

    /// The one of `all` that is called `name` in the code.
    fn named<T: Copy + std::fmt::Debug>(name: &str, all: &[T]) -> Result<T, String> {
        let found = all.iter().find(|one| format!("{one:?}").eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| format!("{name:?} is not one of {all:?}"))
    }
}
