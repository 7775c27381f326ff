//! CPU time from Linux's `/proc`: of this process by thread, to the nanosecond, and of another
//! process in ticks of 10 ms.

use std::collections::BTreeMap;
use std::fs;

/// Seconds of CPU time that each thread of this process has used, with its name, by thread id.
pub fn threads() -> BTreeMap<u64, (String, f64)> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return BTreeMap::new() };
    let ids = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse::<u64>().ok());
    ids.filter_map(|id| Some((id, thread(id)?))).collect()
}

fn thread(id: u64) -> Option<(String, f64)> {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/task/{id}/{file}")).ok();
    // The first field of `schedstat` is the time on a CPU, in nanoseconds.
    let nanoseconds: f64 = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
    Some((read("comm")?.trim().to_string(), nanoseconds / 1e9))
}

/// Name and seconds of CPU time, from a `stat` file; see proc_pid_stat(5), fields 2, 14 and 15.
pub fn stat(path: &str) -> Option<(String, f64)> {
    let text = fs::read_to_string(path).ok()?;
    let (name, rest) = text.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((name.to_string(), ticks / 100.0))
}

/// Returns the number of cores, the model of the processor and the version of the kernel.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {}, Linux {}", model.map_or("", |(_, model)| model), kernel.trim())
}
