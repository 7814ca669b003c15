//! Unsigned integers in decimal digits, as every format here spells them.

/// Appends a number; by two digits at a time, for an update holds two of sixteen digits and is told thousands of times.
pub fn encode_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
