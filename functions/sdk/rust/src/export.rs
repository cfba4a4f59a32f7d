//! What the host enters: the four exports of a module, made by `export!`.

use crate::host::CallRet;
use crate::identifiers::{Id, InstanceId};
use crate::memory;
use crate::Edgefunction;

/// Makes `$function`, which implements `Edgefunction`, the function of this module.
#[macro_export]
macro_rules! export {
    ($function:ty) => {
        #[no_mangle]
        pub unsafe extern "C" fn handle_init_asm(
            payload: *const u8,
            payload_size: usize,
            state: *const u8,
            state_size: usize,
        ) {
            $crate::__entry::entered_init::<$function>(payload, payload_size, state, state_size);
        }

        #[no_mangle]
        pub unsafe extern "C" fn handle_cast_asm(
            node: *const u8,
            component: *const u8,
            payload: *const u8,
            payload_size: usize,
        ) {
            $crate::__entry::entered_cast::<$function>(node, component, payload, payload_size);
        }

        #[no_mangle]
        pub unsafe extern "C" fn handle_call_asm(
            node: *const u8,
            component: *const u8,
            payload: *const u8,
            payload_size: usize,
            reply: *mut *const u8,
            reply_size: *mut usize,
        ) -> i32 {
            $crate::__entry::entered_call::<$function>(
                (node, component),
                (payload, payload_size),
                (reply, reply_size),
            )
        }

        #[no_mangle]
        pub extern "C" fn handle_stop_asm() {
            <$function as $crate::Edgefunction>::handle_stop();
        }
    };
}

unsafe fn instance(node: *const u8, component: *const u8) -> InstanceId {
    InstanceId {
        node: Id(*node.cast()),
        function: Id(*component.cast()),
    }
}

/// # Safety
///
/// The host's promise: each pointer is null with size 0, or points to that many bytes.
pub unsafe fn entered_init<F: Edgefunction>(
    payload: *const u8,
    payload_size: usize,
    state: *const u8,
    state_size: usize,
) {
    let state = if state.is_null() {
        None
    } else {
        Some(memory::copied(state, state_size))
    };
    F::handle_init(memory::copied(payload, payload_size), state);
}

/// # Safety
///
/// The host's promise: the ids are of 16 bytes and the payload of `payload_size`.
pub unsafe fn entered_cast<F: Edgefunction>(
    node: *const u8,
    component: *const u8,
    payload: *const u8,
    payload_size: usize,
) {
    let source = instance(node, component);
    F::handle_cast(source, memory::copied(payload, payload_size));
}

/// # Safety
///
/// As for a cast; the places for the reply are of four bytes each, on any boundary.
pub unsafe fn entered_call<F: Edgefunction>(
    source: (*const u8, *const u8),
    payload: (*const u8, usize),
    reply: (*mut *const u8, *mut usize),
) -> i32 {
    let source = instance(source.0, source.1);
    match F::handle_call(source, memory::copied(payload.0, payload.1)) {
        CallRet::Noreply => 0,
        CallRet::Reply(text) => {
            let (data, size) = memory::kept(text);
            reply.0.write_unaligned(data);
            reply.1.write_unaligned(size);
            1
        }
        CallRet::Err => 2,
    }
}
