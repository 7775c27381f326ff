//! The progress bar of an upload.

use std::io::{IsTerminal, Write};

use aspen_client::UploadProgress;
use aspen_core::limits::COMPONENT_BYTES_MAX;

use crate::print::size as print_size;

/// The progress of an upload of more than one entry, on standard error if that is a terminal.
pub struct UploadBar(bool);

/// Characters of a whole bar.
const BAR_WIDTH: u64 = 40;

impl UploadBar {
    /// Makes the bar for a component of `size` bytes; a small component has none.
    pub fn new(size: usize) -> UploadBar {
        UploadBar(size > COMPONENT_BYTES_MAX && std::io::stderr().is_terminal())
    }

    /// Draws the bar.
    pub fn show(&self, UploadProgress { sent, total }: UploadProgress) {
        let filled = (BAR_WIDTH * sent / total.max(1)) as usize;
        let rest = BAR_WIDTH as usize - filled;
        let (sent, total) = (print_size(sent), print_size(total));
        self.print(&format!("\r[{}{}] {sent} of {total} ", "#".repeat(filled), ".".repeat(rest)));
    }

    /// Leaves the bar as it is, and goes to the next line.
    pub fn end(&self) {
        self.print("\n");
    }

    fn print(&self, text: &str) {
        if self.0 {
            // A closed terminal is no failure of the upload.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}
