//! Log entries. Their target is the path of the module that makes them, as with the crate `log`.

use crate::host::{telemetry_log, LEVEL_ERROR};
use std::fmt;

/// Makes a panic tell the log what it was before it ends the instance.
///
/// Entries of `log::info!` and the like reach the log without this, too.
pub fn init_logger() {
    std::panic::set_hook(Box::new(|panic| {
        telemetry_log(LEVEL_ERROR, "panic", &panic.to_string());
    }));
}

/// Writes one entry; the macros use it.
pub fn entry(level: u32, target: &str, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => telemetry_log(level, target, text),
        None => telemetry_log(level, target, &message.to_string()),
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_log {
    ($level:expr, target: $target:expr, $($message:tt)+) => {
        $crate::__entry::entry($level, $target, ::core::format_args!($($message)+))
    };
    ($level:expr, $($message:tt)+) => {
        $crate::__entry::entry($level, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_error {
    ($($message:tt)+) => { $crate::__edgeless_log!($crate::LEVEL_ERROR, $($message)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_warn {
    ($($message:tt)+) => { $crate::__edgeless_log!($crate::LEVEL_WARN, $($message)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_info {
    ($($message:tt)+) => { $crate::__edgeless_log!($crate::LEVEL_INFO, $($message)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_debug {
    ($($message:tt)+) => { $crate::__edgeless_log!($crate::LEVEL_DEBUG, $($message)+) };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __edgeless_trace {
    ($($message:tt)+) => { $crate::__edgeless_log!($crate::LEVEL_TRACE, $($message)+) };
}
