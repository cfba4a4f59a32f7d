//! What the host offers, as safe functions. Channels are the function's outputs, or `self`.

use crate::identifiers::InstanceId;
use crate::memory;

/// The answer to a call: what a function gives, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRet {
    Noreply,
    Reply(String),
    Err,
}

pub const LEVEL_ERROR: u32 = 1;
pub const LEVEL_WARN: u32 = 2;
pub const LEVEL_INFO: u32 = 3;
pub const LEVEL_DEBUG: u32 = 4;
pub const LEVEL_TRACE: u32 = 5;

/// Where the host writes the reply to a call.
///
/// Some hosts write the length as eight bytes, which therefore have to be ours.
#[repr(C)]
struct ReplySlot {
    data: *mut u8,
    size: usize,
    spare: usize,
}

/// Sends `message` to the output `channel`; nobody answers.
pub fn cast(channel: &str, message: &str) {
    // SAFETY: the host reads two texts that outlive this call.
    unsafe {
        imports::cast_asm(
            channel.as_ptr(),
            channel.len(),
            message.as_ptr(),
            message.len(),
        );
    }
}

/// Sends `message` to an instance, such as the source of an event.
pub fn cast_raw(target: InstanceId, message: &str) {
    // SAFETY: the host reads two times 16 bytes and a text that outlive this call.
    unsafe {
        imports::cast_raw_asm(
            target.node.0.as_ptr(),
            target.function.0.as_ptr(),
            message.as_ptr(),
            message.len(),
        );
    }
}

/// Sends `message` to `channel` when `delay_ms` milliseconds have passed.
pub fn delayed_cast(delay_ms: u64, channel: &str, message: &str) {
    // SAFETY: the host reads two texts that outlive this call.
    unsafe {
        imports::delayed_cast_asm(
            delay_ms,
            channel.as_ptr(),
            channel.len(),
            message.as_ptr(),
            message.len(),
        );
    }
}

/// Sends `message` to `channel` and waits for the answer.
pub fn call(channel: &str, message: &str) -> CallRet {
    // SAFETY: the host reads two texts and writes into the slot, which all outlive this call.
    answered(|slot| unsafe {
        imports::call_asm(
            channel.as_ptr(),
            channel.len(),
            message.as_ptr(),
            message.len(),
            &mut slot.data,
            &mut slot.size,
        )
    })
}

/// Sends `message` to an instance, such as the source of an event, and waits for the answer.
pub fn call_raw(target: InstanceId, message: &str) -> CallRet {
    // SAFETY: as for `call`; of the target, the host reads two times 16 bytes.
    answered(|slot| unsafe {
        imports::call_raw_asm(
            target.node.0.as_ptr(),
            target.function.0.as_ptr(),
            message.as_ptr(),
            message.len(),
            &mut slot.data,
            &mut slot.size,
        )
    })
}

fn answered(ask: impl FnOnce(&mut ReplySlot) -> i32) -> CallRet {
    let mut slot = ReplySlot {
        data: std::ptr::null_mut(),
        size: 0,
        spare: 0,
    };
    match ask(&mut slot) {
        0 => CallRet::Noreply,
        // SAFETY: with this code, the host allocated the bytes for us and filled them.
        1 => CallRet::Reply(unsafe { memory::taken(slot.data, slot.size) }),
        _ => CallRet::Err,
    }
}

/// Writes a log entry, or with a `target` of its own a custom metric; see the constants `LEVEL_*`.
pub fn telemetry_log(level: u32, target: &str, message: &str) {
    // SAFETY: the host reads two texts that outlive this call.
    unsafe {
        imports::telemetry_log_asm(
            level,
            target.as_ptr(),
            target.len(),
            message.as_ptr(),
            message.len(),
        );
    }
}

/// This instance.
pub fn slf() -> InstanceId {
    let mut own = InstanceId::default();
    // SAFETY: the host writes 16 bytes to each of two places of 16 bytes.
    unsafe { imports::slf_asm(own.node.0.as_mut_ptr(), own.function.0.as_mut_ptr()) };
    own
}

/// Stores `state`; `handle_init` gets it when this instance is made anew on the same node.
pub fn sync(state: &str) {
    // SAFETY: the host reads a text that outlives this call.
    unsafe { imports::sync_asm(state.as_ptr(), state.len()) };
}

#[cfg(target_arch = "wasm32")]
mod imports {
    #[link(wasm_import_module = "env")]
    extern "C" {
        pub fn cast_asm(target: *const u8, target_size: usize, payload: *const u8, size: usize);
        pub fn cast_raw_asm(
            node: *const u8,
            component: *const u8,
            payload: *const u8,
            payload_size: usize,
        );
        pub fn call_asm(
            target: *const u8,
            target_size: usize,
            payload: *const u8,
            payload_size: usize,
            reply: *mut *mut u8,
            reply_size: *mut usize,
        ) -> i32;
        pub fn call_raw_asm(
            node: *const u8,
            component: *const u8,
            payload: *const u8,
            payload_size: usize,
            reply: *mut *mut u8,
            reply_size: *mut usize,
        ) -> i32;
        pub fn delayed_cast_asm(
            delay_ms: u64,
            target: *const u8,
            target_size: usize,
            payload: *const u8,
            payload_size: usize,
        );
        pub fn telemetry_log_asm(
            level: u32,
            target: *const u8,
            target_size: usize,
            message: *const u8,
            message_size: usize,
        );
        pub fn slf_asm(node: *mut u8, component: *mut u8);
        pub fn sync_asm(state: *const u8, state_size: usize);
    }
}

/// Where there is no host: what is sent is told on standard error, and calls get no reply.
#[cfg(not(target_arch = "wasm32"))]
mod imports {
    unsafe fn text<'a>(data: *const u8, size: usize) -> &'a str {
        std::str::from_utf8(std::slice::from_raw_parts(data, size)).unwrap_or("(not UTF-8)")
    }

    pub unsafe fn cast_asm(target: *const u8, target_size: usize, data: *const u8, size: usize) {
        eprintln!("cast {}: {}", text(target, target_size), text(data, size));
    }

    pub unsafe fn cast_raw_asm(_: *const u8, _: *const u8, data: *const u8, size: usize) {
        eprintln!("cast_raw: {}", text(data, size));
    }

    pub unsafe fn call_asm(
        target: *const u8,
        target_size: usize,
        data: *const u8,
        size: usize,
        _: *mut *mut u8,
        _: *mut usize,
    ) -> i32 {
        eprintln!("call {}: {}", text(target, target_size), text(data, size));
        0
    }

    pub unsafe fn call_raw_asm(
        _: *const u8,
        _: *const u8,
        data: *const u8,
        size: usize,
        _: *mut *mut u8,
        _: *mut usize,
    ) -> i32 {
        eprintln!("call_raw: {}", text(data, size));
        0
    }

    pub unsafe fn delayed_cast_asm(
        delay_ms: u64,
        target: *const u8,
        target_size: usize,
        data: *const u8,
        size: usize,
    ) {
        let target = text(target, target_size);
        eprintln!("cast {} in {} ms: {}", target, delay_ms, text(data, size));
    }

    pub unsafe fn telemetry_log_asm(
        level: u32,
        target: *const u8,
        target_size: usize,
        data: *const u8,
        size: usize,
    ) {
        let target = text(target, target_size);
        eprintln!("log {} of {}: {}", level, target, text(data, size));
    }

    pub unsafe fn slf_asm(_: *mut u8, _: *mut u8) {}

    pub unsafe fn sync_asm(state: *const u8, size: usize) {
        eprintln!("sync: {}", text(state, size));
    }
}
