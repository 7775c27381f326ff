//! A network namespace for each node, out of which it reaches one address: the relay's.
//!
//! ```text
//! this namespace                          node N's
//! relay on 198.18.X.253   veth ════ veth  198.18.X.(4N+2), a route to .253 and none elsewhere
//! ```
//!
//! Needed because iroh tells its peers where its own socket is and goes there directly when it can:
//! on loopback it always can, and a relay would see nothing but the first packets. Promises that all
//! is gone when it is dropped. Needs root and iproute2; without them the caller gets a sentence that
//! says so.

use std::net::Ipv4Addr;
use std::process::Command;

/// The namespaces of one cluster.
pub struct Namespaces {
    names: Vec<String>,
    /// Of 198.18.0.0/15, which is set aside for tests of networks.
    net: [u8; 3],
}

impl Namespaces {
    /// Makes so many, or says why that cannot be done here.
    pub fn make(count: usize) -> Result<Namespaces, String> {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let mut made = Namespaces { names: vec![], net: [198, 18 + high % 2, low] };
        for node in 0..count {
            made.add(node)?;
        }
        Ok(made)
    }

    fn add(&mut self, node: usize) -> Result<(), String> {
        let id = std::process::id();
        let (name, host, guest) =
            (format!("aspen-{id}-{node}"), format!("asp{id}h{node}"), format!("asp{id}g{node}"));
        ip(&format!("netns add {name}"))?;
        self.names.push(name.clone());
        let (near, far, relay) =
            (self.address(4 * node as u8 + 1), self.socket(node), self.relay());
        ip(&format!("link add {host} type veth peer name {guest} netns {name}"))?;
        ip(&format!("address add {near}/30 dev {host}"))?;
        if node == 0 {
            ip(&format!("address add {relay}/32 dev {host}"))?;
        }
        ip(&format!("link set {host} up"))?;
        ip(&format!("-n {name} address add {far}/30 dev {guest}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        ip(&format!("-n {name} link set {guest} up"))?;
        ip(&format!("-n {name} route add {relay}/32 via {near}"))
    }

    /// The name of a node's namespace.
    pub fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    /// The address that a node has in its namespace.
    pub fn socket(&self, node: usize) -> Ipv4Addr {
        self.address(4 * node as u8 + 2)
    }

    /// The only address that all nodes reach.
    pub fn relay(&self) -> Ipv4Addr {
        self.address(253)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        let [a, b, c] = self.net;
        Ipv4Addr::new(a, b, c, host)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Takes its link along. A leftover harms nobody.
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    match Command::new("ip").args(words.split(' ')).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(format!("cannot make network namespaces, which needs root: {}", errors.trim()))
        }
        Err(error) => Err(format!("cannot run `ip` of iproute2: {error}")),
    }
}
