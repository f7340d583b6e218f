use super::{ParseQuantityError, parse_bytes};

#[test]
fn quantities_are_read_as_bytes() {
    let cases = [
        ("1", 1),
        ("1048576", 1 << 20),
        ("1k", 1_000),
        ("500M", 500_000_000),
        ("10Gi", 10 << 30),
        ("1.5Gi", 3 << 29),
        ("0.5Ki", 512),
        ("1.0005k", 1_000),
        ("2T", 2_000_000_000_000),
        ("1Pi", 1 << 50),
        ("7Ei", 7 << 60),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
    ];
    for (text, bytes) in cases {
        assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
    }
}

#[test]
fn what_is_no_quantity_of_bytes_is_refused() {
    for text in [
        "", "Gi", "10 Gi", "10gi", "10GB", "-1", "+1", "1e3", "1.", ".5Gi", "1.2.3", "500m", "ten",
    ] {
        assert_eq!(
            parse_bytes(text),
            Err(ParseQuantityError::Malformed(text.to_owned())),
            "{text}"
        );
    }
    for text in [
        "8Ei",
        "16Ei",
        "9223372036854775808",
        "99999999999999999999999999999999999999999",
    ] {
        assert_eq!(
            parse_bytes(text),
            Err(ParseQuantityError::TooLarge(text.to_owned())),
            "{text}"
        );
    }
}
