//! [`Alias`]: a name that points to a component.
//!
//! An alias remembers its former components, and may send a share of the calls to a second one, the
//! canary. Promises that all keys with one tag get the same component. Leaves out how an alias changes
//! (`apply/components.rs`).

use serde::{Deserialize, Serialize};

use crate::ids::{Caller, ComponentHash, Name, Timestamp};
use crate::key::Key;
use crate::placement::tag;

/// A name that points to a component, with the components that it pointed to before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The last element is the present component. At least one, at most
    /// [`crate::limits::ALIAS_HISTORY_MAX`].
    pub history: Vec<AliasTarget>,
    /// A second component that gets the calls whose tag hashes below its share. The hash is seeded by the
    /// name, so replicas agree and one tag always goes the same way. Pointing the name ends the canary.
    pub canary: Option<Canary>,
}

/// A second component that gets a share of an alias's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The component, and the client that set the share.
    pub pointed: AliasTarget,
    /// The share of a hundred tags of keys; above 100 as 100.
    pub percent: u8,
}

/// One component of an alias, with the time and the client that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTarget {
    pub component: ComponentHash,
    /// Entry time.
    pub time: Timestamp,
    /// The client that asked for it.
    pub caller: Caller,
}

impl Alias {
    /// Returns the present component.
    pub fn now(&self) -> &AliasTarget {
        self.history.last().expect("a name always points to something")
    }

    /// Returns the component that a call with this key means. All keys with one tag get the same.
    pub fn of(&self, name: &Name, key: &Key) -> ComponentHash {
        match &self.canary {
            Some(canary) if canary_place(name, key) < canary.percent => canary.pointed.component,
            _ => self.now().component,
        }
    }

    /// Returns the present and former components and that of the canary; some may come more than
    /// once.
    pub fn components(&self) -> impl Iterator<Item = &ComponentHash> {
        let canary = self.canary.iter().map(|canary| &canary.pointed.component);
        self.history.iter().map(|pointed| &pointed.component).chain(canary)
    }

    /// True if the component is one of [`Self::components`].
    pub fn mentions(&self, component: &ComponentHash) -> bool {
        self.components().any(|mentioned| mentioned == component)
    }
}

/// Returns the place of a key's tag among 100 for a canary of this name. The place differs from
/// those for other names, and tells nothing of the shard.
fn canary_place(name: &Name, key: &Key) -> u8 {
    let of_name = seahash::hash(name.as_str().as_bytes());
    // The other seeds are those of SeaHash's reference implementation.
    let (b, c, d) = (0xb480_a793_d8e6_c86c, 0x6fe2_e5aa_f078_ebc9, 0x14f9_94a4_c525_9381);
    (seahash::hash_seeded(tag(key.as_bytes()), of_name, b, c, d) % 100) as u8
}
