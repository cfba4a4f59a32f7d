//! Casts a random number to `output` once per period.
//!
//! init-payload: `period=MILLISECONDS` (1000), `min-value=NUMBER` (0), `max-value=NUMBER` (1),
//! `seed=N` (0).

use edgeless_function::lcg::Lcg;
use edgeless_function::*;

struct Sensor {
    period_ms: u64,
    min: f32,
    max: f32,
    lcg: Lcg,
}

static SENSOR: State<Sensor> = State::new();

struct SensorSimulator;

impl Edgefunction for SensorSimulator {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        SENSOR.set(Sensor {
            period_ms: arguments.get_or("period", 1000),
            min: arguments.get_or("min-value", 0.0),
            max: arguments.get_or("max-value", 1.0),
            lcg: Lcg::new(arguments.get_or("seed", 0)),
        });
        cast("self", "");
    }

    fn handle_cast(_src: InstanceId, _message: String) {
        SENSOR.with(|sensor| {
            let number = sensor.lcg.rand() * (sensor.max - sensor.min) + sensor.min;
            log::info!("sensor_simulator: measured {}", number);
            cast("output", &number.to_string());
            delayed_cast(sensor.period_ms, "self", "");
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(SensorSimulator);
