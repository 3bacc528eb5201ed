//! R27: JSON that is made to exhaust or to mislead whoever reads it.

/// Bytes that somebody sends, and what is special about them.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// In words.
    pub name: &'static str,
    /// As they are sent.
    pub bytes: Vec<u8>,
    /// What they are at first sight.
    pub form: Form,
    /// How much of it can be read.
    pub reading: Reading,
}

/// How much of something can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing: it is not JSON.
    Nothing,
    /// As long as values are passed over unread: there are none such, or they are nested too deep.
    OnlyPassedOver,
    /// Everything.
    Whole,
}

/// What JSON is at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Begins and ends as an object does.
    Object,
    /// Begins and ends as a list does.
    List,
    /// Neither.
    Other,
}

/// All of it. Some are larger than most doors take.
pub fn hostile_json() -> Vec<Hostile> {
    [unreadable(), senseless(), readable()].concat()
}

fn of(name: &'static str, bytes: impl Into<Vec<u8>>, reading: Reading) -> Hostile {
    let bytes = bytes.into();
    let form = match (bytes.first(), bytes.last()) {
        (Some(b'{'), Some(b'}')) => Form::Object,
        (Some(b'['), Some(b']')) => Form::List,
        _ => Form::Other,
    };
    Hostile { name, bytes, form, reading }
}

fn nested(open: &str, close: &str) -> String {
    format!("{}1{}", open.repeat(10_000), close.repeat(10_000))
}

fn unreadable() -> Vec<Hostile> {
    let texts = [
        ("nothing", String::new()),
        ("blanks", " \n\t ".to_owned()),
        ("half an object", "{\"key\":".to_owned()),
        ("half a text", "[\"a".to_owned()),
        ("something after the end", "{} x".to_owned()),
        ("a number that JSON has not", "[NaN]".to_owned()),
        ("a number with a leading zero", "{\"key\":01}".to_owned()),
        ("a control character", "{\"key\":\"\u{1}\"}".to_owned()),
        ("a name with half a character", "{\"\\ud800\":1}".to_owned()),
        ("lists that do not end", "[".repeat(1_000_000)),
        ("objects that do not end", "{\"a\":".repeat(300_000)),
    ];
    let mut all: Vec<_> = texts.map(|(name, text)| of(name, text, Reading::Nothing)).into();
    all.push(of("bytes that are no text", *b"{\"key\":\"\xff\xfe\"}", Reading::Nothing));
    let other: Vec<u8> = "\u{feff}{\"key\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    all.push(of("text of another encoding", other, Reading::Nothing));
    all
}

/// As JSON is written, but it stands for nothing, or cannot be read within bounds.
fn senseless() -> Vec<Hostile> {
    let deep = nested("[", "]");
    [
        ("a number that is too large", "{\"key\":1e400}".to_owned()),
        ("a number whose exponent is too large", "[{\"kind\":-1e999999999}]".to_owned()),
        ("half a character", "{\"key\":\"\\ud800\"}".to_owned()),
        ("the halves of a character, exchanged", "[{\"kind\":\"\\udc00\\ud800\"}]".to_owned()),
        ("lists in lists", deep.clone()),
        ("objects in objects", nested("{\"a\":", "}")),
        ("lists in lists in a property", format!("{{\"key\":{deep}}}")),
        ("lists in lists in an element", format!("[{{\"kind\":\"index\",\"a\":{deep}}}]")),
    ]
    .map(|(name, text)| of(name, text, Reading::OnlyPassedOver))
    .into()
}

/// JSON that no door is there for.
fn readable() -> Vec<Hostile> {
    let names =
        |count: usize| -> String { (0..count).map(|number| format!("\"name-{number}\":0,")).collect() };
    let long = "x".repeat(10_000_000);
    let twice =
        "{\"key\":\"a\",\"key\":\"b\",\"name\":\"a\",\"name\":\"b\",\"kind\":\"user\",\"kind\":\"org\"}";
    let exponents = "{\"key\":1e308,\"name\":1e-400,\"kind\":123456789012345678901234567890}";
    [
        ("null", "null".to_owned()),
        ("a bool", "true".to_owned()),
        ("a number", "7".to_owned()),
        ("a text", "\"x\"".to_owned()),
        ("an empty list", "[]".to_owned()),
        ("a list of null", "[null]".to_owned()),
        ("a list of lists", "[[]]".to_owned()),
        ("an empty object", "{}".to_owned()),
        ("an object with an empty name", "{\"\":{}}".to_owned()),
        ("names twice", twice.to_owned()),
        ("exponents", exponents.to_owned()),
        ("a NUL", "{\"key\":\"a\\u0000\",\"name\":\"\\u0000\"}".to_owned()),
        ("a million names", format!("{{{}\"key\":null}}", names(1_000_000))),
        ("a text of ten megabytes", format!("{{\"key\":\"{long}\"}}")),
        ("a text of nearly a megabyte", format!("{{\"key\":\"{}\"}}", &long[..1_000_000])),
        ("forty thousand names", format!("{{{}\"kind\":\"user\",\"key\":\"a\"}}", names(40_000))),
    ]
    .map(|(name, text)| of(name, text, Reading::Whole))
    .into()
}
