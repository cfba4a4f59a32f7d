//! Memory that the host and the function hand to each other.
//!
//! The host allocates, fills and frees what it brings (messages, ids, the places for a reply); the
//! SDK copies texts out of that, so that a function owns its `String`s. The reply to a call made
//! here is the function's. The reply that a function gives has to live until the host has read it,
//! which is after the handler returned: the SDK keeps it until the next event.

use std::alloc::{alloc, dealloc, handle_alloc_error, Layout};
use std::sync::Mutex;

/// Where empty allocations are: not null, which means that there is no text, and never accessed.
const EMPTY: *mut u8 = 8 as *mut u8;

/// The reply given last.
static REPLY: Mutex<String> = Mutex::new(String::new());

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, 1).ok()
}

/// For the host: memory of `size` bytes.
#[no_mangle]
pub extern "C" fn edgeless_mem_alloc(size: usize) -> *mut u8 {
    if size == 0 {
        return EMPTY;
    }
    match layout(size) {
        // SAFETY: the size is not zero.
        Some(layout) => match unsafe { alloc(layout) } {
            data if data.is_null() => handle_alloc_error(layout),
            data => data,
        },
        None => std::process::abort(),
    }
}

/// For the host: gives memory back.
///
/// # Safety
///
/// `data` is of `edgeless_mem_alloc(size)` and was not freed.
#[no_mangle]
pub unsafe extern "C" fn edgeless_mem_free(data: *mut u8, size: usize) {
    if let (true, Some(layout)) = (size > 0, layout(size)) {
        dealloc(data, layout);
    }
}

/// For the host, before every event but init: the reply given last was read.
#[no_mangle]
pub extern "C" fn edgeless_mem_clear() {
    kept(String::new());
}

/// Keeps `reply` until the next event; returns where it is.
pub fn kept(reply: String) -> (*const u8, usize) {
    match REPLY.lock() {
        Ok(mut place) => {
            *place = reply;
            (place.as_ptr(), place.len())
        }
        Err(_) => (EMPTY, 0),
    }
}

/// The text that the host brought, copied.
///
/// # Safety
///
/// `data` points to `size` bytes, unless `size` is 0.
pub unsafe fn copied(data: *const u8, size: usize) -> String {
    if size == 0 {
        return String::new();
    }
    text_of(std::slice::from_raw_parts(data, size))
}

/// The text that the host allocated for the function to keep.
///
/// # Safety
///
/// `data` is of `edgeless_mem_alloc(size)`, was filled, and is nobody else's.
pub unsafe fn taken(data: *mut u8, size: usize) -> String {
    if size == 0 {
        return String::new();
    }
    String::from_utf8(Vec::from_raw_parts(data, size, size))
        .unwrap_or_else(|fault| text_of(fault.as_bytes()))
}

/// `bytes` as a text. Hosts bring UTF-8; of one that does not, what is not becomes U+FFFD.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Err(fault) = std::str::from_utf8(rest) {
        let (good, bad) = rest.split_at(fault.valid_up_to());
        text.push_str(std::str::from_utf8(good).unwrap_or_default());
        text.push(char::REPLACEMENT_CHARACTER);
        rest = &bad[fault.error_len().unwrap_or(bad.len())..];
    }
    text.push_str(std::str::from_utf8(rest).unwrap_or_default());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let texts: [&[u8]; 6] = [
            b"",
            "gr\u{fc}\u{df}e".as_bytes(),
            b"a\xffb",
            b"\xff\xfe",
            b"\xe2\x82",
            b"\xed\xa0\x80x",
        ];
        for bytes in texts {
            assert_eq!(text_of(bytes), String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_empty_allocation_is_not_null_and_may_be_freed_or_not() {
        let data = edgeless_mem_alloc(0);
        assert!(!data.is_null());
        unsafe { edgeless_mem_free(data, 0) };
        assert_eq!(unsafe { taken(data, 0) }, "");
    }

    #[test]
    fn what_the_host_filled_is_the_functions() {
        let data = edgeless_mem_alloc(3);
        unsafe { data.copy_from_nonoverlapping(b"a\xffb".as_ptr(), 3) };
        assert_eq!(unsafe { copied(data, 3) }, "a\u{fffd}b");
        assert_eq!(unsafe { taken(data, 3) }, "a\u{fffd}b");
    }

    #[test]
    fn a_reply_lives_until_the_next_event() {
        let (data, size) = kept("reply".to_string());
        let read = unsafe { std::slice::from_raw_parts(data, size) };
        assert_eq!(read, b"reply");
        edgeless_mem_clear();
        assert_eq!(REPLY.lock().unwrap().capacity(), 0);
    }
}
