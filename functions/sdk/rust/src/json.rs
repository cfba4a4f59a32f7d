//! JSON, as far as messages need it: HTTP requests and replies, and small states.
//!
//! Numbers stay texts until they are asked for; objects keep the order of their keys.

/// What is nested deeper is refused, not followed until the stack is gone.
const DEPTH_MAX: u32 = 32;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    /// The digits as they were.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The value of `key` in an object, the last one if it is there more than once.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(entries) => {
                let of_key = |entry: &&(String, Value)| entry.0 == key;
                entries.iter().rfind(of_key).map(|entry| &entry.1)
            }
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number as a `T`, if it is one and a `T` can hold it.
    pub fn number<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The list as bytes, if it is one of numbers from 0 to 255.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Value::List(items) => items.iter().map(Value::number).collect(),
            _ => None,
        }
    }
}

/// Reads one value, which has to be all of `text`; `None` if it is not JSON.
pub fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { text, place: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    (reader.place == text.len()).then_some(value)
}

/// Appends `text` to `json` with the quotes and escapes that it needs.
pub fn push_text(json: &mut String, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    json.push('"');
    for letter in text.chars() {
        let escaped = match letter {
            '"' => '"',
            '\\' => '\\',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\0'..='\x1f' => {
                json.push_str("\\u00");
                json.push(DIGITS[letter as usize >> 4] as char);
                json.push(DIGITS[letter as usize & 15] as char);
                continue;
            }
            _ => {
                json.push(letter);
                continue;
            }
        };
        json.push('\\');
        json.push(escaped);
    }
    json.push('"');
}

/// Appends `bytes` to `json` as a list of numbers.
pub fn push_bytes(json: &mut String, bytes: &[u8]) {
    json.push('[');
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push_str(&byte.to_string());
    }
    json.push(']');
}

struct Reader<'a> {
    text: &'a str,
    /// A byte offset, always at the boundary of a character.
    place: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: u32) -> Option<Value> {
        self.blanks();
        match self.peek()? {
            b'{' if depth < DEPTH_MAX => self.object(depth),
            b'[' if depth < DEPTH_MAX => self.list(depth),
            b'"' => self.string().map(Value::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => None,
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        let mut entries = Vec::new();
        self.place += 1;
        self.blanks();
        if self.take(b'}') {
            return Some(Value::Object(entries));
        }
        loop {
            self.blanks();
            let key = self.string()?;
            self.blanks();
            if !self.take(b':') {
                return None;
            }
            entries.push((key, self.value(depth + 1)?));
            self.blanks();
            if self.take(b'}') {
                return Some(Value::Object(entries));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn list(&mut self, depth: u32) -> Option<Value> {
        let mut items = Vec::new();
        self.place += 1;
        self.blanks();
        if self.take(b']') {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b']') {
                return Some(Value::List(items));
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.take(b'"') {
            return None;
        }
        let mut found = String::new();
        loop {
            let rest = &self.text[self.place..];
            let plain = rest.find(|letter| matches!(letter, '"' | '\\' | '\0'..='\x1f'))?;
            found.push_str(&rest[..plain]);
            self.place += plain + 1;
            match rest.as_bytes()[plain] {
                b'"' => return Some(found),
                b'\\' => found.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.place += 1;
        Some(match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hexadecimal()?;
                if first & 0xfc00 != 0xd800 {
                    return char::from_u32(first);
                }
                // A character beyond 16 bits is written as two surrogates.
                if !(self.take(b'\\') && self.take(b'u')) {
                    return None;
                }
                let second = self.hexadecimal()?;
                if second & 0xfc00 != 0xdc00 {
                    return None;
                }
                char::from_u32(0x10000 + ((first & 0x3ff) << 10) + (second & 0x3ff))?
            }
            _ => return None,
        })
    }

    fn hexadecimal(&mut self) -> Option<u32> {
        let digits = self.text.get(self.place..self.place + 4)?;
        self.place += 4;
        digits
            .chars()
            .try_fold(0, |code, digit| Some(code << 4 | digit.to_digit(16)?))
    }

    fn number(&mut self) -> Option<Value> {
        let begin = self.place;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _signed = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Some(Value::Number(self.text[begin..self.place].to_string()))
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let begin = self.place;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.place += 1;
        }
        (self.place > begin).then_some(())
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text[self.place..].starts_with(word).then(|| {
            self.place += word.len();
            value
        })
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.place += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.place += usize::from(is_there);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.to_string()))
    }

    #[test]
    fn values_of_all_kinds_are_read() {
        let json = " { \"a\" : [1, -2.5e+3, true,false , null], \"b\":{},\"c\":[ ] ,\"a\":\"x\" } ";
        let value = parse(json).unwrap();
        assert_eq!(value.get("a").and_then(Value::text), Some("x"));
        assert_eq!(value.get("b"), Some(&Value::Object(vec![])));
        assert_eq!(value.get("c"), Some(&Value::List(vec![])));
        let list = parse("[1,-2.5e+3,0]").unwrap();
        match list {
            Value::List(items) => {
                assert_eq!(items[0].number::<u16>(), Some(1));
                assert_eq!(items[1].number::<f32>(), Some(-2500.0));
                assert_eq!(items[1].number::<u16>(), None);
            }
            _ => panic!("not a list"),
        }
    }

    #[test]
    fn bytes_are_numbers_up_to_255() {
        let bytes = |json| parse(json).and_then(|value| value.bytes());
        assert_eq!(bytes("[0,255,7]"), Some(vec![0, 255, 7]));
        assert_eq!(bytes("[]"), Some(vec![]));
        for json in ["[256]", "[-1]", "[1.0]", "[null]", "\"x\"", "null"] {
            assert_eq!(bytes(json), None, "{}", json);
        }
    }

    #[test]
    fn escapes_are_read_and_written() {
        assert_eq!(
            parse(r#""\"\\\/\b\f\n\r\t\u00e9""#),
            text("\"\\/\u{8}\u{c}\n\r\té")
        );
        assert_eq!(parse(r#""\ud83d\ude00\u0000""#), text("😀\0"));
        let mut json = String::new();
        push_text(&mut json, "\"\\/\u{8}\u{c}\n\r\té\u{1}\u{1f}😀");
        assert_eq!(json, "\"\\\"\\\\/\\b\\f\\n\\r\\té\\u0001\\u001f😀\"");
        assert_eq!(parse(&json), text("\"\\/\u{8}\u{c}\n\r\té\u{1}\u{1f}😀"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let faults = [
            "",
            " ",
            "{",
            "[",
            "\"",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "-",
            "tru",
            "nulll",
            "1 2",
            "[1 2]",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "\"é\\u00é0\"",
        ];
        for json in faults {
            assert_eq!(parse(json), None, "{}", json);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(32)).is_some());
        assert!(parse(&nested(33)).is_none());
        assert!(parse(&nested(1_000_000)).is_none());
    }
}
