//! What a plain scalar means by the core schema of YAML 1.2 (section 10.3.2).

/// A plain scalar, resolved.
#[derive(Debug, PartialEq)]
pub(super) enum Plain {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text,
}

pub(super) fn plain(text: &str) -> Plain {
    if let Some(value) = boolean(text) {
        return Plain::Bool(value);
    }
    if let Some(value) = int(text) {
        return Plain::Int(value);
    }
    float(text).map_or(Plain::Text, Plain::Float)
}

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

pub(super) fn int(text: &str) -> Option<i128> {
    let radix = |digits: &str, radix| {
        let plain = digits.starts_with(|c: char| c.is_digit(radix));
        plain.then(|| i128::from_str_radix(digits, radix).ok())?
    };
    match text.split_at_checked(2) {
        Some(("0x", digits)) => radix(digits, 16),
        Some(("0o", digits)) => radix(digits, 8),
        _ => text.parse().ok(),
    }
}

pub(super) fn float(text: &str) -> Option<f64> {
    match text.strip_prefix(['-', '+']).unwrap_or(text) {
        ".inf" | ".Inf" | ".INF" if text.starts_with('-') => return Some(f64::NEG_INFINITY),
        ".inf" | ".Inf" | ".INF" => return Some(f64::INFINITY),
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Some(f64::NAN),
        _ => {}
    }
    let number = text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
    number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        for (text, expected) in [
            ("true", Plain::Bool(true)),
            ("yes", Plain::Text),
            ("0x1F", Plain::Int(31)),
            ("0o17", Plain::Int(15)),
            ("017", Plain::Int(17)),
            ("-5", Plain::Int(-5)),
            ("1_000", Plain::Text),
            ("0x-1", Plain::Text),
            ("1.10", Plain::Float(1.1)),
            ("1e3", Plain::Float(1000.0)),
            ("-.inf", Plain::Float(f64::NEG_INFINITY)),
            ("inf", Plain::Text),
            ("infinity", Plain::Text),
            (".", Plain::Text),
            ("1.2.3", Plain::Text),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }
}
