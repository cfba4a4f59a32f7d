//! Who somebody is: UUIDs, and the pairs of them that name an instance.

use std::fmt::{self, Write};

/// A UUID: 16 bytes, most significant first. Its text is lower-case with hyphens.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 16]);

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_char('-')?;
            }
            for digit in [byte >> 4, byte & 15] {
                let letter = if digit < 10 { b'0' } else { b'a' - 10 };
                formatter.write_char((letter + digit) as char)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An instance of a function or resource: the node it is on, and its id there.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    pub node: Id,
    pub function: Id,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "InstanceId(node_id: {}, function_id: {})",
            self.node, self.function
        )
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_written_as_the_platform_writes_it() {
        let bytes = |first: u8| {
            let mut id = [0; 16];
            for (offset, byte) in (0_u8..).zip(id.iter_mut()) {
                *byte = first + offset;
            }
            Id(id)
        };
        let instance = InstanceId {
            node: bytes(0),
            function: bytes(0xf0),
        };
        assert_eq!(
            instance.to_string(),
            "InstanceId(node_id: 00010203-0405-0607-0809-0a0b0c0d0e0f, \
             function_id: f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff)"
        );
    }
}
