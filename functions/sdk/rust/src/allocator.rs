//! Where a function's memory comes from: blocks of powers of two, each size with a list of the free
//! ones.
//!
//! Why not the allocator of the standard library: it is a third of a small module. Here allocating
//! and freeing take a few instructions, always the same, and what was freed is used again for the
//! same size; a function that does the same for every event does not grow. The price is up to half
//! of a block unused, and that blocks are never split or joined.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

const PAGE_BYTES: usize = 65_536;
/// The smallest block, as a power of two; all blocks are aligned to it.
const SMALLEST: u32 = 4;
const SIZES: usize = 28;

#[global_allocator]
static ALLOCATOR: Blocks = Blocks(UnsafeCell::new(Free {
    lists: [null_mut(); SIZES],
    top: 0,
}));

/// The first word of a free block is the next free one.
type Block = *mut u8;

struct Free {
    lists: [Block; SIZES],
    /// Where memory begins that was never used; 0 until the first allocation.
    top: usize,
}

struct Blocks(UnsafeCell<Free>);

// SAFETY: there is one thread.
unsafe impl Sync for Blocks {}

extern "C" {
    /// Where the static data ends; of the linker.
    static __heap_base: u8;
}

/// The number of the list for `size` bytes.
fn list_of(size: usize) -> usize {
    let power = usize::BITS - size.saturating_sub(1).leading_zeros();
    (power.max(SMALLEST) - SMALLEST) as usize
}

impl Free {
    /// A block that was never used, or null.
    unsafe fn carve(&mut self, list: usize, align: usize) -> Block {
        if self.top == 0 {
            self.top = &__heap_base as *const u8 as usize;
        }
        let align = align.max(1 << SMALLEST);
        let begin = (self.top + align - 1) & !(align - 1);
        let end = match begin.checked_add(1 << (list as u32 + SMALLEST)) {
            Some(end) => end,
            None => return null_mut(),
        };
        let have = core::arch::wasm32::memory_size(0) * PAGE_BYTES;
        if end > have {
            let pages = (end - have + PAGE_BYTES - 1) / PAGE_BYTES;
            if core::arch::wasm32::memory_grow(0, pages) == usize::MAX {
                return null_mut();
            }
        }
        self.top = end;
        begin as Block
    }
}

// SAFETY: blocks are as large and aligned as asked for, and belong to one owner at a time.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let free = &mut *self.0.get();
        let list = list_of(layout.size());
        match free.lists.get_mut(list) {
            None => null_mut(),
            Some(first) if !first.is_null() && *first as usize % layout.align() == 0 => {
                let block = *first;
                *first = *block.cast::<Block>();
                block
            }
            Some(_) => free.carve(list, layout.align()),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let free = &mut *self.0.get();
        if let Some(first) = free.lists.get_mut(list_of(layout.size())) {
            *block.cast::<Block>() = *first;
            *first = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if list_of(size) == list_of(layout.size()) {
            return block;
        }
        let other = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !other.is_null() {
            std::ptr::copy_nonoverlapping(block, other, size.min(layout.size()));
            self.dealloc(block, layout);
        }
        other
    }
}
