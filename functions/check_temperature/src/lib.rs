//! Watches temperatures that come as events of a DDA resource. Above 60 or below 40, it calls
//! `move_arm` with `checktemp:diff:D`, the difference to that bound. The outputs `dda` and
//! `log_output` are part of the class; nothing is sent to them.

use edgeless_function::*;

const TOO_HOT: f64 = 60.0;
const TOO_COLD: f64 = 40.0;

struct CheckTemperature;

impl Edgefunction for CheckTemperature {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("check_temperature: started");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        match temperature_of(&message) {
            Some(temperature) if temperature > TOO_HOT => react(temperature - TOO_HOT),
            Some(temperature) if temperature < TOO_COLD => react(temperature - TOO_COLD),
            Some(temperature) => log::info!("check_temperature: {} is fine", temperature),
            None => log::error!("check_temperature: not an event with a number: {}", message),
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        log::error!("check_temperature: called, which nobody should");
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("check_temperature: stopped");
    }
}

/// The number in `{"ComSubscribeEvent":[bytes]}`.
fn temperature_of(message: &str) -> Option<f64> {
    let bytes = json::parse(message)?.get("ComSubscribeEvent")?.bytes()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

fn react(difference: f64) {
    match call("move_arm", &format!("checktemp:diff:{}", difference)) {
        CallRet::Reply(_) => log::info!("check_temperature: moved by {}", difference),
        CallRet::Noreply => log::error!("check_temperature: move_arm did not reply"),
        CallRet::Err => log::error!("check_temperature: move_arm failed"),
    }
}

edgeless_function::export!(CheckTemperature);
