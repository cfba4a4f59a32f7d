//! Casts the mean of the last numbers to `output` as soon as there are enough of them, and
//! complaints about what is no number to `error`.
//!
//! init-payload: how many numbers; without a number, or with 0, nothing is ever enough.

use edgeless_function::*;
use std::collections::VecDeque;

struct Window {
    size: usize,
    /// The newest first.
    numbers: VecDeque<f32>,
}

static WINDOW: State<Window> = State::new();

struct MovingAvg;

impl Edgefunction for MovingAvg {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let size = payload.parse().unwrap_or(0);
        log::info!("moving_avg: of {} numbers", size);
        WINDOW.set(Window {
            size,
            numbers: VecDeque::new(),
        });
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("moving_avg: cast with {}", message);
        match message.parse() {
            Ok(number) => {
                if let Some(mean) = WINDOW.with(|window| window.mean_with(number)) {
                    cast("output", &mean.to_string());
                }
            }
            Err(fault) => {
                let fault: std::num::ParseFloatError = fault;
                cast(
                    "error",
                    &format!("invalid event payload '{}': {}", message, fault),
                );
            }
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("moving_avg: stopped");
    }
}

impl Window {
    fn mean_with(&mut self, number: f32) -> Option<f32> {
        self.numbers.push_front(number);
        self.numbers.truncate(self.size);
        let is_full = self.size > 0 && self.numbers.len() == self.size;
        is_full.then(|| self.numbers.iter().sum::<f32>() / self.size as f32)
    }
}

edgeless_function::export!(MovingAvg);
