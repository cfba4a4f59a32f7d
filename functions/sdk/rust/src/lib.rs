//! The guest side of the EDGELESS function ABI: everything that a function in Rust needs.
//!
//! ```
//! use edgeless_function::*;
//!
//! struct Shout;
//!
//! impl Edgefunction for Shout {
//!     fn handle_init(_payload: String, _state: Option<String>) {
//!         edgeless_function::init_logger();
//!     }
//!     fn handle_cast(_src: InstanceId, message: String) {
//!         log::info!("got {}", message);
//!         cast("out", &message.to_uppercase());
//!     }
//!     fn handle_call(_src: InstanceId, message: String) -> CallRet {
//!         CallRet::Reply(message.to_uppercase())
//!     }
//!     fn handle_stop() {}
//! }
//!
//! edgeless_function::export!(Shout);
//! ```
//!
//! It needs the standard library only. Compiled for a target other than WebAssembly there is no
//! host: what is sent goes to standard error, so that `cargo test` works on plain functions.

#[cfg(target_arch = "wasm32")]
mod allocator;
mod arguments;
mod export;
mod host;
mod identifiers;
mod logging;
mod memory;
mod state;

pub mod base64;
pub mod http;
pub mod json;
pub mod lcg;

/// `log::info!(...)` and the other levels, with the names of the crate `log`.
pub mod log {
    pub use crate::{
        __edgeless_debug as debug, __edgeless_error as error, __edgeless_info as info,
        __edgeless_trace as trace, __edgeless_warn as warn,
    };
}

pub use arguments::{parse_init_payload, Arguments};
pub use host::{
    call, call_raw, cast, cast_raw, delayed_cast, slf, sync, telemetry_log, CallRet, LEVEL_DEBUG,
    LEVEL_ERROR, LEVEL_INFO, LEVEL_TRACE, LEVEL_WARN,
};
pub use identifiers::{Id, InstanceId};
pub use logging::init_logger;
pub use state::State;

/// The trait under the name that later releases of EDGELESS use.
pub use Edgefunction as EdgeFunction;

/// A function: four handlers, entered one at a time, never concurrently.
///
/// What has to live from one event to the next is kept in a [`State`].
pub trait Edgefunction {
    /// An event that wants no answer came from `src`.
    fn handle_cast(src: InstanceId, encoded_message: String);

    /// An event came from `src`, which waits for what is returned.
    fn handle_call(src: InstanceId, encoded_message: String) -> CallRet;

    /// The instance begins. `payload` is the annotation `init-payload`, empty if there is none;
    /// `serialized_state` is what was given to [`sync`] last, `None` if nothing was.
    fn handle_init(payload: String, serialized_state: Option<String>);

    /// The instance ends.
    fn handle_stop();
}

#[doc(hidden)]
pub mod __entry {
    pub use crate::export::{entered_call, entered_cast, entered_init};
    pub use crate::logging::entry;
}
