//! Casts events to `out`, at intervals that follow a distribution.
//!
//! init-payload:
//!
//! * `out_type`: `constant` (casts `value=TEXT`), `counter` (0, 1, 2, ...) or `rand_vec`
//!   (`size=N` random numbers of 32 bits, the same ones every time, most significant byte first, in
//!   base64: needs `use_base64=true`, because messages are texts);
//! * `arrival`: `c(T)` every T ms, `u(A;B)` uniformly from A to B ms, `e(M)` exponentially with
//!   mean M ms;
//! * `seed=N` (0);
//! * `log=BOOLEAN` (false): with `counter`, log entries `tbegin` for every event and `tend` for every
//!   one that comes back as a message.
//!
//! What is wrong with it is cast to `err`, and nothing else happens.

use edgeless_function::lcg::{random_vector, Lcg};
use edgeless_function::*;

enum Output {
    Constant(String),
    Counter,
}

#[derive(Debug, PartialEq)]
enum Interval {
    Constant(u64),
    Uniform(u64, u64),
    Exponential(u64),
}

struct Source {
    output: Output,
    interval: Interval,
    logs: bool,
    count: u64,
    lcg: Lcg,
}

static SOURCE: State<Option<Source>> = State::new();

struct Trigger;

impl Edgefunction for Trigger {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        match Source::new(&parse_init_payload(&payload)) {
            Ok(source) => {
                SOURCE.set(Some(source));
                cast("self", "");
            }
            Err(fault) => {
                SOURCE.set(None);
                cast("err", &fault);
            }
        }
    }

    /// An empty message is the time for the next event; any other is one that came back.
    fn handle_cast(_src: InstanceId, message: String) {
        SOURCE.with(|source| match source {
            Some(source) if message.is_empty() => source.next_event(),
            Some(source) if source.logs => telemetry_log(LEVEL_TRACE, "tend", &message),
            _ => (),
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

impl Source {
    fn new(arguments: &Arguments<'_>) -> Result<Source, String> {
        let mut lcg = Lcg::new(arguments.get_or("seed", 0));
        let output = Output::new(arguments, &mut lcg)
            .map_err(|fault| format!("Invalid output config: {}", fault))?;
        let interval = Interval::new(arguments.get("arrival").unwrap_or(""))
            .map_err(|fault| format!("Invalid inter-arrival config: {}", fault))?;
        Ok(Source {
            logs: matches!(output, Output::Counter) && arguments.is_true("log"),
            output,
            interval,
            count: 0,
            lcg,
        })
    }

    fn next_event(&mut self) {
        let number = self.count.to_string();
        match &self.output {
            Output::Constant(text) => cast("out", text),
            Output::Counter => {
                cast("out", &number);
                self.count += 1;
            }
        }
        if self.logs {
            telemetry_log(LEVEL_TRACE, "tbegin", &number);
        }
        delayed_cast(self.interval.next_ms(&mut self.lcg), "self", "");
    }
}

impl Output {
    fn new(arguments: &Arguments<'_>, lcg: &mut Lcg) -> Result<Output, String> {
        match arguments.get("out_type") {
            Some("constant") => {
                let value = arguments.get("value").ok_or("value is missing")?;
                Ok(Output::Constant(value.to_string()))
            }
            Some("counter") => Ok(Output::Counter),
            Some("rand_vec") => {
                let size = arguments.get("size").ok_or("size is missing")?;
                let size: usize = size.parse().map_err(|fault| format!("size: {}", fault))?;
                if !arguments.is_true("use_base64") {
                    return Err("rand_vec needs use_base64=true".to_string());
                }
                let numbers = random_vector(lcg, size);
                let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_be_bytes()).collect();
                Ok(Output::Constant(base64::encode(&bytes)))
            }
            Some(other) => Err(format!("out_type {} is unknown", other)),
            None => Err("out_type is missing".to_string()),
        }
    }
}

impl Interval {
    fn new(text: &str) -> Result<Interval, String> {
        let (kind, inner) = text
            .trim()
            .strip_suffix(')')
            .and_then(|text| text.split_once('('))
            .ok_or("arrival is c(T), u(A;B) or e(M)")?;
        match kind.to_ascii_lowercase().as_str() {
            "c" => Ok(Interval::Constant(milliseconds(inner)?)),
            "e" => Ok(Interval::Exponential(milliseconds(inner)?)),
            "u" => {
                let (min, max) = inner.split_once(';').ok_or("u has two bounds: u(A;B)")?;
                let (min, max) = (milliseconds(min)?, milliseconds(max)?);
                if min >= max {
                    return Err(format!("{} is not less than {}", min, max));
                }
                Ok(Interval::Uniform(min, max))
            }
            _ => Err(format!("arrival {} is unknown", kind)),
        }
    }

    fn next_ms(&self, lcg: &mut Lcg) -> u64 {
        match self {
            Interval::Constant(period) => *period,
            Interval::Uniform(min, max) => min + ((max - min) as f32 * lcg.rand()).round() as u64,
            Interval::Exponential(mean) => {
                // The logarithm of 0 has no value.
                let number = lcg.rand().max(f32::MIN_POSITIVE);
                (-number.ln() * *mean as f32).round() as u64
            }
        }
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|fault| format!("{} is no number of ms: {}", text, fault))
}

edgeless_function::export!(Trigger);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_interval_is_refused() {
        let faults = [
            "",
            "invalid",
            "c()",
            "c(A)",
            "c(1,2)",
            "c(3.14)",
            "u()",
            "u(A)",
            "u(1)",
            "u(1;2;3)",
            "u(1.0;2.0)",
            "u(1;1)",
            "u(2;1)",
            "e()",
            "e(A)",
            "e(A,B)",
            "e(1,2)",
            "e(3.14)",
            "x(1)",
        ];
        for text in faults {
            assert!(Interval::new(text).is_err(), "{}", text);
        }
    }

    #[test]
    fn intervals_are_read() {
        for text in ["c(0)", " c(0)", "  c(0)\t", " c(0)\n\n"] {
            assert_eq!(Interval::new(text), Ok(Interval::Constant(0)));
        }
        assert_eq!(Interval::new("C(999)"), Ok(Interval::Constant(999)));
        assert_eq!(Interval::new("u(0;1)"), Ok(Interval::Uniform(0, 1)));
        assert_eq!(Interval::new("u(1;999)"), Ok(Interval::Uniform(1, 999)));
        assert_eq!(Interval::new("e(0)"), Ok(Interval::Exponential(0)));
        assert_eq!(Interval::new("e(999)"), Ok(Interval::Exponential(999)));
    }

    #[test]
    fn draws_follow_the_distribution() {
        let mut lcg = Lcg::new(0);
        let mut draws = |interval: Interval| {
            let drawn: Vec<u64> = (0..10).map(|_| interval.next_ms(&mut lcg)).collect();
            let mut different = drawn.clone();
            different.sort_unstable();
            different.dedup();
            (different.len(), drawn)
        };
        assert_eq!(draws(Interval::Constant(42)), (1, vec![42; 10]));
        let (different, drawn) = draws(Interval::Uniform(100, 200));
        assert_eq!(different, 10);
        assert!(drawn.iter().all(|ms| (100..=200).contains(ms)));
        let (different, drawn) = draws(Interval::Exponential(100));
        assert_eq!(different, 10);
        assert!(drawn.iter().all(|ms| (1..=200).contains(ms)));
    }
}
