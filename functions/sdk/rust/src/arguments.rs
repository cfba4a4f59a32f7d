//! The init-payload of most functions: `key=value,key=value`.

use crate::host::{telemetry_log, LEVEL_ERROR};
use std::str::FromStr;

/// The keys of an init-payload and their values, as [`parse_init_payload`] found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments<'a>(Vec<(&'a str, &'a str)>);

/// Splits `payload` at commas, and each part at `=` into a key and a value.
///
/// What follows a second `=` is ignored. A part without `=` is reported in the log and ignored.
pub fn parse_init_payload(payload: &str) -> Arguments<'_> {
    let mut found = Vec::new();
    let parts = payload.split(',').filter(|_| !payload.is_empty());
    for part in parts {
        let mut sides = part.split('=');
        match (sides.next(), sides.next()) {
            (Some(key), Some(value)) => found.push((key, value)),
            _ => {
                let mut fault = String::from("invalid initialization token: ");
                fault.push_str(part);
                telemetry_log(LEVEL_ERROR, "edgeless_function", &fault);
            }
        }
    }
    Arguments(found)
}

impl<'a> Arguments<'a> {
    /// The value of `key`, the last one if it is there more than once.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let of_key = |entry: &&(&str, &str)| entry.0 == key;
        self.0.iter().rfind(of_key).map(|entry| entry.1)
    }

    /// The value of `key` read as a `T`, or `default` if it is missing or none.
    pub fn get_or<T: FromStr>(&self, key: &str, default: T) -> T {
        let value = self.get(key).and_then(|text| text.parse().ok());
        value.unwrap_or(default)
    }

    /// Whether the value of `key` is `true`, in whatever case.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key)
            .map_or(false, |text| text.eq_ignore_ascii_case("true"))
    }

    /// The value of `key` split at `separator`; items that are no `T` are left out.
    pub fn list<T: FromStr>(&self, key: &str, separator: char) -> Vec<T> {
        let items = self.get(key).unwrap_or("").split(separator);
        items.filter_map(|item| item.parse().ok()).collect()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many parts had a key, repeated ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_found() {
        let arguments = parse_init_payload("a=b,c=d,my_key=my_value");
        assert_eq!(arguments.len(), 3);
        assert_eq!(arguments.get("a"), Some("b"));
        assert_eq!(arguments.get("c"), Some("d"));
        assert_eq!(arguments.get("my_key"), Some("my_value"));
        assert_eq!(arguments.get("other"), None);
    }

    #[test]
    fn both_sides_may_be_empty() {
        let arguments = parse_init_payload("a=,=d,my_key=my_value");
        assert_eq!(arguments.len(), 3);
        assert_eq!(arguments.get("a"), Some(""));
        assert_eq!(arguments.get(""), Some("d"));
    }

    #[test]
    fn parts_without_a_value_are_ignored() {
        let arguments = parse_init_payload("a,d,my_key=my_value");
        assert_eq!(arguments.len(), 1);
        assert_eq!(arguments.get("my_key"), Some("my_value"));
        assert!(parse_init_payload(",,,a,s,s,,42,").is_empty());
        assert!(parse_init_payload("").is_empty());
    }

    #[test]
    fn a_second_value_is_ignored_and_the_last_key_counts() {
        let arguments = parse_init_payload("a=b=c,d=1,d=2");
        assert_eq!(arguments.get("a"), Some("b"));
        assert_eq!(arguments.get_or("d", 0), 2);
    }

    #[test]
    fn only_true_is_true() {
        let arguments = parse_init_payload("a=val1,b=false,c=true,d=True,e=TRUE,f=");
        let truths: Vec<bool> = ["a", "b", "c", "d", "e", "f", "none", ""]
            .iter()
            .map(|key| arguments.is_true(key))
            .collect();
        let expected = [false, false, true, true, true, false, false, false];
        assert_eq!(truths, expected);
    }

    #[test]
    fn lists_leave_out_what_does_not_parse() {
        let payload = "v1=1:2:3:4:5,v2=1@2@3@4@5,v3=3.4:6.8,v4=1:-2:3:-4:5,v5=1:two:3:four:5";
        let arguments = parse_init_payload(payload);
        assert_eq!(arguments.list::<usize>("v1", ':'), [1, 2, 3, 4, 5]);
        assert_eq!(arguments.list::<usize>("v1", '@'), [0_usize; 0]);
        assert_eq!(arguments.list::<u32>("v2", '@'), [1, 2, 3, 4, 5]);
        assert_eq!(arguments.list::<f32>("v3", ':'), [3.4, 6.8]);
        assert_eq!(arguments.list::<usize>("v4", ':'), [1, 3, 5]);
        assert_eq!(arguments.list::<i32>("v4", ':'), [1, -2, 3, -4, 5]);
        assert_eq!(arguments.list::<usize>("v5", ':'), [1, 3, 5]);
        assert_eq!(arguments.list::<usize>("none", '@'), [0_usize; 0]);
    }

    #[test]
    fn what_is_no_number_is_the_default() {
        let arguments = parse_init_payload("a=x,b=,c=-1,d=18446744073709551616");
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(arguments.get_or(key, 7_u64), 7);
        }
    }
}
