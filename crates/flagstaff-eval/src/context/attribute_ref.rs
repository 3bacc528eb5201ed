//! Paths to attributes: `email`, `/address/city`, `/odd~1name`.

use std::fmt;

/// A path to an attribute, split when it is made.
///
/// Source: the flag protocol's attribute references. A text without a leading `/` is one name taken
/// literally; with one, components are joined by `/` and escape `~` as `~0` and `/` as `~1`.
/// An impossible path is kept as written: [`AttributeRef::is_valid`] is false and it finds nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeRef {
    path: Path,
    /// Which built-in attribute the name is, found out once.
    built_in: Option<BuiltIn>,
}

/// The attributes that every context has a place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum BuiltIn {
    Kind,
    Key,
    Name,
    Anonymous,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Path {
    Invalid(Box<str>),
    Name(Box<str>),
    Nested(Box<[Box<str>]>),
}

impl AttributeRef {
    /// Reads a reference.
    pub fn new(text: &str) -> Self {
        let path = match text.strip_prefix('/') {
            None if text.is_empty() => None,
            None => Some(Path::Name(text.into())),
            Some(path) => split(path),
        };
        Self::of(path.unwrap_or_else(|| Path::Invalid(text.into())))
    }

    /// A name taken literally, also if it begins with `/`.
    pub fn literal(name: &str) -> Self {
        Self::of(if name.is_empty() { Path::Invalid("".into()) } else { Path::Name(name.into()) })
    }

    fn of(path: Path) -> Self {
        let mut reference = Self { path, built_in: None };
        reference.built_in = match reference.name() {
            "kind" => Some(BuiltIn::Kind),
            "key" => Some(BuiltIn::Key),
            "name" => Some(BuiltIn::Name),
            "anonymous" => Some(BuiltIn::Anonymous),
            _ => None,
        };
        reference
    }

    #[inline]
    pub(crate) fn built_in(&self) -> Option<BuiltIn> {
        self.built_in
    }

    /// Whether the reference can point at anything.
    pub fn is_valid(&self) -> bool {
        !matches!(self.path, Path::Invalid(_))
    }

    /// The first component: the attribute's name. Empty if the reference is not valid.
    #[inline]
    pub fn name(&self) -> &str {
        match &self.path {
            Path::Name(name) => name,
            Path::Nested(components) => &components[0],
            Path::Invalid(_) => "",
        }
    }

    /// The components after the name, which descend into objects.
    #[inline]
    pub fn below(&self) -> &[Box<str>] {
        match &self.path {
            Path::Nested(components) => &components[1..],
            _ => &[],
        }
    }

    /// How many components there are; none if the reference is not valid.
    pub fn depth(&self) -> usize {
        match &self.path {
            Path::Invalid(_) => 0,
            Path::Name(_) => 1,
            Path::Nested(components) => components.len(),
        }
    }

    /// The component at `index`, from 0.
    pub fn component(&self, index: usize) -> Option<&str> {
        match &self.path {
            Path::Invalid(_) => None,
            Path::Name(name) => (index == 0).then_some(name),
            Path::Nested(components) => components.get(index).map(|component| &**component),
        }
    }

    /// Whether this is the single component `name`.
    #[inline]
    pub(crate) fn is_name(&self, name: &str) -> bool {
        matches!(&self.path, Path::Name(own) if **own == *name)
    }
}

/// The normal spelling: a plain name as it is, anything else escaped.
impl fmt::Display for AttributeRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Path::Invalid(text) => formatter.write_str(text),
            Path::Name(name) if !name.starts_with('/') => formatter.write_str(name),
            Path::Name(name) => write_component(formatter, name),
            Path::Nested(components) => {
                components.iter().try_for_each(|component| write_component(formatter, component))
            }
        }
    }
}

impl fmt::Debug for AttributeRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AttributeRef({self})")
    }
}

impl From<&str> for AttributeRef {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for AttributeRef {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

fn write_component(formatter: &mut fmt::Formatter<'_>, component: &str) -> fmt::Result {
    write!(formatter, "/{}", component.replace('~', "~0").replace('/', "~1"))
}

fn split(path: &str) -> Option<Path> {
    let components = path.split('/').map(unescape).collect::<Option<Vec<Box<str>>>>()?;
    Some(match <[Box<str>; 1]>::try_from(components) {
        Ok([name]) => Path::Name(name),
        Err(components) => Path::Nested(components.into()),
    })
}

fn unescape(component: &str) -> Option<Box<str>> {
    if component.is_empty() {
        return None;
    }
    let mut parts = component.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        name.push(match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        name.push_str(&part[1..]);
    }
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, components: &[&str]) {
        let reference = AttributeRef::new(text);
        let found: Vec<&str> = (0..reference.depth()).filter_map(|i| reference.component(i)).collect();
        assert_eq!(found, components, "{text}");
        assert_eq!(reference.is_valid(), !components.is_empty(), "{text}");
    }

    #[test]
    fn references_are_split_at_slashes_only_after_a_leading_one() {
        check("abc", &["abc"]);
        check("a/b", &["a/b"]);
        check("a~b", &["a~b"]);
        check("/a", &["a"]);
        check("/a/b", &["a", "b"]);
        check("/a~1b/c~0d", &["a/b", "c~d"]);
    }

    #[test]
    fn impossible_references_are_not_valid() {
        for text in ["", "/", "//", "/a/", "/a//b", "///", "/a~", "/a~2", "/a~b"] {
            check(text, &[]);
        }
    }

    #[test]
    fn one_attribute_has_one_spelling() {
        assert_eq!(AttributeRef::new("/a"), AttributeRef::new("a"));
        assert_eq!(AttributeRef::literal("/a").to_string(), "/~1a");
        assert_eq!(AttributeRef::new("/~1a"), AttributeRef::literal("/a"));
        assert_eq!(AttributeRef::new("/a/b~0").to_string(), "/a/b~0");
        assert_eq!(AttributeRef::new("/a~").to_string(), "/a~");
    }
}
