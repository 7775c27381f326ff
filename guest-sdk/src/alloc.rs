//! The allocator of a program that lives for one call: it moves a pointer, and frees nothing before the
//! end.
//!
//! Promises no more than `GlobalAlloc` asks. Only the block allocated last is ever freed or grown in
//! place. The size and the pages of Rust's default allocator are half the cost of a call with it.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::Cell;

const PAGE_BYTES: usize = 64 << 10;

unsafe extern "C" {
    /// The end of the program's own data, placed by the linker: only its address means something.
    static __heap_base: u8;
}

struct Bump {
    /// First free address; 0 before the first allocation.
    next: Cell<usize>,
    /// End of the memory that the instance has.
    end: Cell<usize>,
}

// SAFETY: threads are not part of the WebAssembly that Aspen accepts, so nothing is ever shared.
unsafe impl Sync for Bump {}

impl Bump {
    /// Makes `..end` usable. Returns true if the host gave the memory.
    fn reach(&self, end: usize) -> bool {
        if end <= self.end.get() {
            return true;
        }
        let pages = (end - self.end.get()).div_ceil(PAGE_BYTES);
        if wasm32::memory_grow::<0>(pages) == usize::MAX {
            return false;
        }
        self.end.set(self.end.get() + pages * PAGE_BYTES);
        true
    }

    fn is_last(&self, at: *mut u8, layout: &Layout) -> bool {
        at as usize + layout.size() == self.next.get()
    }
}

// SAFETY: every block lies between `__heap_base` and the end of memory, begins at or above the end
// of the block before it (`next` only sinks to the start of the last block when that one is freed),
// and is aligned as asked.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.next.get() == 0 {
            self.next.set(&raw const __heap_base as usize);
            self.end.set(wasm32::memory_size::<0>() * PAGE_BYTES);
        }
        let start = self.next.get().checked_next_multiple_of(layout.align());
        let block = start.and_then(|start| Some((start, start.checked_add(layout.size())?)));
        match block {
            Some((start, end)) if self.reach(end) => {
                self.next.set(end);
                start as *mut u8
            }
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if self.is_last(at, &layout) {
            self.next.set(at as usize);
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let end = (at as usize).checked_add(size);
        if let Some(end) = end.filter(|_| self.is_last(at, &layout)) {
            if self.reach(end) {
                self.next.set(end);
                return at;
            }
            return core::ptr::null_mut();
        }
        if size <= layout.size() {
            return at;
        }
        // SAFETY: the caller promises that `size`, rounded up to the alignment, fits an isize, and
        // both blocks are at least as long as the copied part.
        unsafe {
            let to = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !to.is_null() {
                core::ptr::copy_nonoverlapping(at, to, layout.size());
            }
            to
        }
    }
}

#[global_allocator]
static BUMP: Bump = Bump { next: Cell::new(0), end: Cell::new(0) };
