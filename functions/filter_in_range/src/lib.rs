//! Casts the numbers within a range to `output`, as they came, and complaints about the others to
//! `error`.
//!
//! init-payload: `MIN,MAX`; without two numbers, only 0 is within.

use edgeless_function::*;

struct Range {
    min: f32,
    max: f32,
}

static RANGE: State<Range> = State::new();

struct FilterInRange;

impl Edgefunction for FilterInRange {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let range = range_of(&payload).unwrap_or(Range { min: 0.0, max: 0.0 });
        log::info!("filter_in_range: from {} to {}", range.min, range.max);
        RANGE.set(range);
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("filter_in_range: cast with {}", message);
        RANGE.with(|range| match message.parse::<f32>() {
            Ok(number) if number >= range.min && number <= range.max => cast("output", &message),
            Ok(number) => {
                let range = format!("[{},{}]", range.min, range.max);
                cast(
                    "error",
                    &format!("value '{}' out of range {}", number, range),
                );
            }
            Err(fault) => {
                cast(
                    "error",
                    &format!("invalid event payload '{}': {}", message, fault),
                );
            }
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("filter_in_range: stopped");
    }
}

fn range_of(payload: &str) -> Option<Range> {
    let (min, max) = payload.split_once(',')?;
    Some(Range {
        min: min.parse().ok()?,
        max: max.parse().ok()?,
    })
}

edgeless_function::export!(FilterInRange);
