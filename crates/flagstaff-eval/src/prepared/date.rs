//! Instants as clauses compare them.

use jiff::civil::{Date, Time};

/// Reads an RFC 3339 instant with date, time and offset, as Unix milliseconds.
///
/// Strict: `T` between date and time, days that exist, no leap second, no hour 24. Lower-case `t`
/// and `z` pass. Source: the flag protocol's rule for `before` and `after`.
pub(crate) fn parse_instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !text.is_ascii() {
        return None;
    }
    let shape_holds = bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':';
    if !shape_holds {
        return None;
    }
    let year = number(&bytes[0..4])?;
    let date = Date::new(year as i16, number(&bytes[5..7])? as i8, number(&bytes[8..10])? as i8).ok()?;
    let (hour, minute, second) = (number(&bytes[11..13])?, number(&bytes[14..16])?, number(&bytes[17..19])?);
    Time::new(hour as i8, minute as i8, second as i8, 0).ok()?;
    let second_of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);

    let (milliseconds, offset) = fraction(&bytes[19..])?;
    let offset_seconds = offset_seconds(offset)?;
    let whole = days_since_epoch(date) * 86_400 + second_of_day;
    Some((whole - offset_seconds) * 1000 + milliseconds)
}

/// Counts the days from 1970-01-01, also on the last day of the year 9999, where a `Timestamp` of
/// jiff's has ended: programs write it for "never".
fn days_since_epoch(date: Date) -> i64 {
    // Years that begin in March end with the day that some of them have more.
    let (year, month) = match date.month() {
        month @ 3.. => (i64::from(date.year()), i64::from(month) - 3),
        month => (i64::from(date.year()) - 1, i64::from(month) + 9),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on the months have 31, 30, 31, 30, 31 days, and again.
    let day_of_year = (month * 153 + 2) / 5 + i64::from(date.day()) - 1;
    // From 0000-03-01 to 1970-01-01.
    const TO_EPOCH: i64 = 719_468;
    year * 365 + leap_days + day_of_year - TO_EPOCH
}

/// Splits `.123+01:00` into milliseconds and the rest. Digits below a millisecond are cut off.
fn fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = bytes.strip_prefix(b".") else {
        return Some((0, bytes));
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let milliseconds =
        (0..3).fold(0, |sum, place| sum * 10 + i64::from(digits[..count].get(place).map_or(0, |b| b - b'0')));
    Some((milliseconds, &digits[count..]))
}

fn offset_seconds(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits
        .iter()
        .try_fold(0, |sum: u16, byte| byte.is_ascii_digit().then(|| sum * 10 + u16::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::parse_instant;

    #[test]
    fn instants_are_unix_milliseconds() {
        for (text, expected) in [
            ("2017-12-06T00:00:00.000-07:00", 1_512_543_600_000),
            ("2017-12-06T07:00:00Z", 1_512_543_600_000),
            ("2017-12-06t07:00:00z", 1_512_543_600_000),
            ("1970-01-01T00:00:00.1239Z", 123),
            ("1970-01-01T00:00:00.5Z", 500),
            ("1969-12-31T23:59:59.999Z", -1),
            ("1970-01-01T01:30:00+01:30", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
        ] {
            assert_eq!(parse_instant(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_is_counted_once() {
        let days = jiff::civil::date(0, 1, 1).series(jiff::Span::new().days(1));
        for (count, day) in days.take_while(|day| day.year() < 9999).enumerate() {
            assert_eq!(super::days_since_epoch(day), count as i64 - 719_528, "{day}");
        }
    }

    #[test]
    fn other_texts_are_no_instants() {
        for text in [
            "",
            "2017-12-06",
            "00:00:00Z",
            "2017-12-06 00:00:00Z",
            "2017-12-06X00:00:00Z",
            "2017-12-06T00:00Z",
            "2017-12-06T00:00:00",
            "2017-12-06T00:00:00+0100",
            "2017-12-06T00:00:60Z",
            "2017-12-06T24:00:00Z",
            "2017-02-29T00:00:00Z",
            "2017-13-01T00:00:00Z",
            "2017-12-06T00:00:00.Z",
            "1512543600000",
            "2017-12-06T00:00:00Z ",
            "2017-12-06T00:00:00+24:00",
            "２017-12-06T00:00:00Z",
        ] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }
}
