//! Takes time and memory: computes a Fibonacci number for every event, and may hand it on.
//!
//! init-payload: `forward=BOOLEAN` (false): cast the message to `out`; `fibonacci=N` (0): which
//! number; `allocate=BYTES` (0): memory to take for good. The output `err` is part of the class;
//! nothing is sent to it.

use edgeless_function::*;

struct Work {
    forward: bool,
    fibonacci: u64,
    _memory: Vec<u8>,
}

static WORK: State<Work> = State::new();

struct BenchProcess;

impl Edgefunction for BenchProcess {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        let arguments = parse_init_payload(&payload);
        WORK.set(Work {
            forward: arguments.is_true("forward"),
            fibonacci: arguments.get_or("fibonacci", 0),
            _memory: Vec::with_capacity(arguments.get_or("allocate", 0)),
        });
    }

    fn handle_cast(_src: InstanceId, message: String) {
        WORK.with(|work| {
            let number = fibonacci(work.fibonacci);
            // SAFETY: reads a local value; volatile, so that it has to be computed.
            let _computed = unsafe { std::ptr::read_volatile(&number[0]) };
            if work.forward {
                cast("out", &message);
            }
        });
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

/// The number as digits to the base 2^32, the least one first.
fn fibonacci(n: u64) -> Vec<u32> {
    let (mut number, mut next) = (vec![0], vec![1]);
    for _ in 0..n {
        add(&mut number, &next);
        std::mem::swap(&mut number, &mut next);
    }
    number
}

/// Adds `term`, which has as many digits as `sum` or more.
fn add(sum: &mut Vec<u32>, term: &[u32]) {
    sum.resize(term.len(), 0);
    let mut carry = 0;
    for (digit, other) in sum.iter_mut().zip(term) {
        let wide = u64::from(*digit) + u64::from(*other) + carry;
        *digit = wide as u32;
        carry = wide >> 32;
    }
    if carry > 0 {
        sum.push(carry as u32);
    }
}

edgeless_function::export!(BenchProcess);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_right() {
        let numbers = [
            0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181,
        ];
        for (n, number) in (0..).zip(numbers) {
            assert_eq!(fibonacci(n), [number]);
        }
    }

    #[test]
    fn numbers_beyond_32_bits_are_right() {
        let value = |n| {
            fibonacci(n)
                .iter()
                .rev()
                .fold(0_u128, |sum, digit| sum << 32 | u128::from(*digit))
        };
        assert_eq!(value(48), 4_807_526_976);
        assert_eq!(
            value(186),
            332_825_110_087_067_562_321_196_029_789_634_457_848
        );
    }
}
