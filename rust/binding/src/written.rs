//! How numbers and times are written: reading them out of text, and naming them. Pure.

use crate::convert::Number;
use std::borrow::Cow;

/// Words for a missing value, as pandas, R, databases and spreadsheets write them.
const MARKS: [&str; 14] = [
    "", "-", "--", ".", "?", "null", "nil", "none", "na", "n/a", "nan", "#n/a", "<na>", "\\n",
];
/// Letters that may stand beside an amount, as signs may.
const CURRENCIES: [&str; 8] = ["eur", "usd", "gbp", "chf", "jpy", "kr", "zl", "rs"];

/// True for a word that stands for a missing value.
pub fn is_mark(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).trim().to_lowercase();
    MARKS.contains(&text.as_str())
}

/// The number that a text is, with spaces around it and commas between thousands; no infinity, no NaN.
pub fn parse(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let plain = ungroup(text)?;
    let digits = plain.trim_start_matches(['+', '-']);
    if !digits.starts_with(|sign: char| sign.is_ascii_digit() || sign == '.') {
        return None;
    }
    plain.parse().ok()
}

/// Take the commas, spaces or apostrophes between thousands away; `None` where they stand elsewhere.
fn ungroup(text: &str) -> Option<Cow<'_, str>> {
    let is_group = |sign: char| matches!(sign, ',' | ' ' | '\'' | '\u{a0}' | '\u{202f}');
    if !text.contains(is_group) {
        return Some(Cow::Borrowed(text));
    }
    let (whole, rest) = text
        .split_once('.')
        .map_or((text, ""), |(whole, _)| (whole, &text[whole.len()..]));
    let mut groups = whole.trim_start_matches(['+', '-']).split(is_group);
    let first = groups.next()?.len();
    let fits = (1..=3).contains(&first) && groups.all(|group| group.len() == 3);
    (fits && !rest.contains(is_group)).then(|| Cow::Owned(text.replace(is_group, "")))
}

/// True for a plain number, a decimal comma allowed. A leading zero makes a code, not a number.
pub fn is_number(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let digits = text.trim().trim_start_matches(['+', '-']);
    let is_code =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    !is_code && (parse(text.as_bytes()).is_some() || has_decimal_comma(digits))
}

fn has_decimal_comma(digits: &str) -> bool {
    let Some((whole, rest)) = digits.split_once(',') else {
        return false;
    };
    let whole = whole.replace(['.', ' ', '\''], "");
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !rest.is_empty() && all_digits(&whole) && all_digits(rest)
}

/// True for a number with signs or a currency around it.
pub fn is_decorated(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let is_rest = |sign: char| !(sign.is_ascii_digit() || sign == '.' || sign == '-');
    let inner = text.trim_matches(is_rest);
    if inner.is_empty() || inner.len() == text.len() {
        return false;
    }
    let around = text.replacen(inner, "", 1).to_lowercase();
    let letters = around.trim_matches(|sign: char| !sign.is_alphabetic());
    (letters.is_empty() || CURRENCIES.contains(&letters)) && is_number(inner.as_bytes())
}

/// True for a date with a year of four digits, or a time of day, or both, in any of the usual orders.
pub fn is_time(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let text = text.trim();
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    if time.is_empty() {
        return is_date(date) || is_clock(date);
    }
    is_date(date) && is_clock(time)
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
    let digits = |part: &&str, least: usize, most: usize| {
        (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    match parts.as_slice() {
        [a, b, c] => {
            digits(b, 1, 2)
                && ((digits(a, 4, 4) && digits(c, 1, 2)) || (digits(a, 1, 2) && digits(c, 4, 4)))
        }
        _ => false,
    }
}

fn is_clock(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    bytes.len() >= 5 && digit(0) && digit(1) && bytes[2] == b':' && digit(3) && digit(4)
}

/// The name of a number of a column of type `dtype`.
pub fn name(number: Number, dtype: &str) -> String {
    let Number::Whole(value) = number else {
        let value = number.to_f64();
        return if value.is_nan() {
            "NaN".into()
        } else {
            format!("{value:?}")
        };
    };
    let (kind, unit) = dtype.split_once('[').unwrap_or((dtype, ""));
    let unit = unit.split([',', ']']).next().unwrap_or_default();
    let Some(per_day) = units_per_day(unit) else {
        return value.to_string();
    };
    match kind {
        "date" | "datetime" => {
            let day = civil(value.div_euclid(per_day));
            match value.rem_euclid(per_day) {
                // A date and the midnight it begins with have one name.
                0 => day,
                rest => format!("{day} {}", clock(rest, per_day)),
            }
        }
        "time" => clock(value, per_day),
        "duration" => format!("{} s", fraction(value * 86_400, per_day)),
        _ => value.to_string(),
    }
}

/// How many of a unit a day has.
pub fn units_per_day(unit: &str) -> Option<i128> {
    Some(match unit {
        "D" => 1,
        "h" => 24,
        "m" => 1_440,
        "s" => 86_400,
        "ms" => 86_400_000,
        "us" => 86_400_000_000,
        "ns" => 86_400_000_000_000,
        "ps" => 86_400_000_000_000_000,
        "fs" => 86_400_000_000_000_000_000,
        "as" => 86_400_000_000_000_000_000_000,
        _ => return None,
    })
}

fn clock(value: i128, per_day: i128) -> String {
    let seconds = (value * 86_400).div_euclid(per_day);
    let rest = fraction((value * 86_400).rem_euclid(per_day), per_day);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{h:02}:{m:02}:{s:02}{}", rest.trim_start_matches('0'))
}

/// `over / under` in decimals, without zeros at the end; at most 18 decimals.
fn fraction(over: i128, under: i128) -> String {
    let sign = if over < 0 { "-" } else { "" };
    let (whole, mut rest) = (over.abs() / under, over.abs() % under);
    let mut text = format!("{sign}{whole}");
    if rest > 0 {
        text.push('.');
    }
    for _ in 0..18 {
        if rest == 0 {
            break;
        }
        rest *= 10;
        text.push(char::from(b'0' + (rest / under) as u8));
        rest %= under;
    }
    text
}

/// The date of a day counted from 1970, by Hinnant's algorithm (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(days: i128) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
