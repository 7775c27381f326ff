//! Files whose changes survive a power cut: rename, delete and sync with their folder.
//!
//! Each error names the file and the operation. Leaves out the content of the files.

mod background_sync;
mod durable;
mod names;
#[cfg(madsim)]
pub mod sim_files;

pub use background_sync::with_background_sync;
pub use durable::{
    publish, remove, remove_database, remove_folder, sync, sync_folder, sync_if_present,
};
pub use names::{names, with_suffix};
