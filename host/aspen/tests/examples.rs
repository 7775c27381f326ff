//! The scripts of the examples, as a reader runs them: built, uploaded, called, compared.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ASPEN: &str = env!("CARGO_BIN_EXE_aspen");

/// A cluster of three nodes, killed when it goes out of scope.
struct Cluster(Child);

impl Cluster {
    fn start(dir: &Path) -> Cluster {
        let mut command = Command::new(ASPEN);
        command.arg("dev").arg(dir).args(["--nodes", "3"]).stdout(Stdio::piped());
        let mut cluster = Cluster(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(cluster.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        cluster
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn process_scripts_of_the_examples_come_to_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("cluster");
    let _cluster = Cluster::start(&dir);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let entries = std::fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<_> =
        entries.map(|path| path.join("run.sh")).filter(|path| path.exists()).collect();
    scripts.sort();
    assert_eq!(scripts.len(), 8);
    for script in scripts {
        let mut command = Command::new("sh");
        command.arg(&script).env("ASPEN", ASPEN).env("ASPEN_CONNECT", &dir);
        let output = command.output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        assert!(output.status.success(), "{}: {printed}", script.display());
    }
}
