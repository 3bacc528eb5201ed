//! A user dictionary, read in place by the evaluator.
//!
//! The rules are those of the time when users were dictionaries: built-in attributes at the top
//! level, everything else under `custom`, any key made text, `secondary` part of bucketing, an
//! `anonymous` that was never given matching nothing.
//!
//! Whatever the evaluator is handed lives in [`Slots`] under a strong reference until the evaluation
//! is over, so a dictionary that is changed meanwhile is no danger. Each attribute is read once.

use std::cell::{Cell, OnceCell};

use flagstaff_eval::{AttributeRef, AttributeValue, Context, ContextRead, ListRead};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use serde_json::{Map, Value};

use crate::names::name_object;
use crate::value::{FromPython, copy_of_mapping, text_of};

/// The attributes that stand at the top level of a user, besides `key` and `anonymous`.
const TEXTS: [&str; 8] = ["secondary", "ip", "country", "email", "firstName", "lastName", "avatar", "name"];

/// A user with a key.
pub(crate) struct User<'py> {
    properties: Bound<'py, PyDict>,
    key: Text<'py>,
    custom: OnceCell<Option<Bound<'py, PyDict>>>,
    secondary: OnceCell<Option<Text<'py>>>,
    slots: Slots<'py>,
    /// Whether an attribute had a type that JSON does not know.
    replaced: Cell<bool>,
}

impl<'py> User<'py> {
    /// None if the user has no key, or none but `None`.
    #[inline]
    pub(crate) fn new(properties: Bound<'py, PyDict>) -> Option<Self> {
        let key = properties.get_item(intern!(properties.py(), "key")).ok()??;
        if key.is_none() {
            return None;
        }
        Some(Self {
            key: Text::of(key),
            properties,
            custom: OnceCell::new(),
            secondary: OnceCell::new(),
            slots: Slots(OnceCell::new()),
            replaced: Cell::new(false),
        })
    }

    /// The key as text; may be empty.
    #[inline]
    pub(crate) fn key_text(&self) -> &str {
        self.key.as_str()
    }

    /// Whether an attribute that was asked for had a type that JSON does not know.
    pub(crate) fn met_other_types(&self) -> bool {
        self.replaced.get()
    }

    /// The user as the context that events report. `replaced` hears of a type that JSON does not know.
    pub(crate) fn to_context(&self, replaced: &mut Option<String>) -> Context {
        let mut convert = FromPython::default();
        let mut user = Map::new();
        user.insert("key".to_owned(), self.key_text().into());
        for name in TEXTS {
            if let Some(value) = self.top_level(name).filter(|value| !value.is_none()) {
                user.insert(name.to_owned(), text_of(&value).into());
            }
        }
        if let Some(value) = self.top_level("anonymous").filter(|value| !value.is_none()) {
            user.insert("anonymous".to_owned(), value.is_truthy().unwrap_or(false).into());
        }
        if let Some(custom) = self.custom() {
            user.insert("custom".to_owned(), Value::Object(convert.object(custom)));
        }
        if let Some(names) = self.top_level("privateAttributeNames") {
            user.insert("privateAttributeNames".to_owned(), names_in(&names));
        }
        *replaced = convert.replaced;
        // Every property has been given the type the conversion wants; a key is there.
        Context::from_legacy_user(&Value::Object(user))
            .unwrap_or_else(|error| unreachable!("a user made of checked properties is a context: {error}"))
    }

    fn py(&self) -> Python<'py> {
        self.properties.py()
    }

    fn top_level(&self, name: &str) -> Option<Bound<'py, PyAny>> {
        self.properties.get_item(name_object(self.py(), name)).ok().flatten()
    }

    fn custom(&self) -> Option<&Bound<'py, PyDict>> {
        let find = || as_dict(self.properties.get_item(intern!(self.py(), "custom")).ok()??);
        self.custom.get_or_init(find).as_ref()
    }

    fn read(&self, reference: &AttributeRef, name: &Bound<'py, PyString>) -> Held<'py> {
        let value = match reference.name() {
            "secondary" | "ip" | "country" | "email" | "firstName" | "lastName" | "avatar" | "name"
            | "anonymous" => self.properties.get_item(name),
            _ => match self.custom() {
                Some(custom) => custom.get_item(name),
                None => return Held::Missing,
            },
        };
        let mut value = match value {
            Ok(Some(value)) => value,
            _ => return Held::Missing,
        };
        for component in reference.below() {
            let inner = as_dict(value).and_then(|dict| dict.get_item(&**component).ok().flatten());
            match inner {
                Some(inner) => value = inner,
                None => return Held::Missing,
            }
        }
        Held::of(value, &self.replaced)
    }
}

impl ContextRead for User<'_> {
    #[inline]
    fn key(&self, kind: &str) -> Option<&str> {
        (kind == "user").then(|| self.key_text())
    }

    fn attribute<'c>(&'c self, kind: &str, reference: &AttributeRef) -> AttributeValue<'c> {
        if kind != "user" {
            return AttributeValue::Missing;
        }
        match reference.name() {
            "key" if reference.below().is_empty() => return AttributeValue::String(self.key_text()),
            "kind" if reference.below().is_empty() => return AttributeValue::String("user"),
            "key" | "kind" | "" => return AttributeValue::Missing,
            _ => {}
        }
        let name = name_object(self.py(), reference.name());
        let shared = reference.below().is_empty();
        self.slots.get(&name, shared, || self.read(reference, &name)).view()
    }

    fn any_kind(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        test("user")
    }

    fn secondary(&self) -> Option<&str> {
        let find = || {
            let value = self.properties.get_item(intern!(self.py(), "secondary")).ok()??;
            if value.is_none() { None } else { Some(Text::of(value)) }
        };
        self.secondary.get_or_init(find).as_ref().map(Text::as_str)
    }
}

/// What one attribute turned out to be, kept for as long as the evaluation lasts.
enum Held<'py> {
    Missing,
    Bool(bool),
    Number(f64),
    Text(Text<'py>),
    List(List<'py>),
    Object,
}

impl<'py> Held<'py> {
    fn of(value: Bound<'py, PyAny>, replaced: &Cell<bool>) -> Self {
        if let Ok(text) = value.cast::<PyString>() {
            return Held::Text(Text::of_string(text.clone()));
        }
        if value.is_none() {
            return Held::Missing;
        }
        if let Ok(value) = value.cast::<PyBool>() {
            return Held::Bool(value.is_true());
        }
        if let Ok(value) = value.cast::<PyFloat>() {
            return Held::Number(value.value());
        }
        if value.is_instance_of::<PyInt>() {
            return value.extract().map_or(Held::Missing, Held::Number);
        }
        if let Ok(list) = value.cast::<PyList>() {
            return Held::List(List::List(list.clone()));
        }
        if let Ok(tuple) = value.cast::<PyTuple>() {
            return Held::List(List::Tuple(tuple.clone()));
        }
        if value.is_instance_of::<PyDict>() || copy_of_mapping(&value).is_some() {
            return Held::Object;
        }
        replaced.set(true);
        Held::Text(Text::Owned(text_of(&value)))
    }

    fn view(&self) -> AttributeValue<'_> {
        match self {
            Held::Missing => AttributeValue::Missing,
            Held::Bool(value) => AttributeValue::Bool(*value),
            Held::Number(value) => AttributeValue::Number(*value),
            Held::Text(text) => AttributeValue::String(text.as_str()),
            Held::List(list) => AttributeValue::List(list),
            Held::Object => AttributeValue::Object,
        }
    }
}

/// Text that is borrowed from Python where Python has it as UTF-8.
enum Text<'py> {
    Python(Bound<'py, PyString>),
    Owned(String),
}

impl<'py> Text<'py> {
    /// `str()` of any value.
    #[inline]
    fn of(value: Bound<'py, PyAny>) -> Self {
        match value.cast_into::<PyString>() {
            Ok(text) => Self::of_string(text),
            Err(other) => Text::Owned(text_of(&other.into_inner())),
        }
    }

    #[inline]
    fn of_string(text: Bound<'py, PyString>) -> Self {
        match text.to_str() {
            Ok(_) => Text::Python(text),
            // A half of a surrogate pair has no UTF-8 form.
            Err(_) => Text::Owned(text.to_string_lossy().into_owned()),
        }
    }

    #[inline]
    fn as_str(&self) -> &str {
        match self {
            // Checked when it was made, and strings do not change.
            Text::Python(text) => text.to_str().unwrap_or_default(),
            Text::Owned(text) => text,
        }
    }
}

enum List<'py> {
    List(Bound<'py, PyList>),
    Tuple(Bound<'py, PyTuple>),
}

impl ListRead for List<'_> {
    fn any(&self, test: &mut dyn FnMut(AttributeValue<'_>) -> bool) -> bool {
        let mut passes = |element| match Held::of(element, &Cell::new(false)) {
            Held::List(_) => test(AttributeValue::Object),
            held => test(held.view()),
        };
        match self {
            List::List(list) => list.iter().any(&mut passes),
            List::Tuple(tuple) => tuple.iter().any(&mut passes),
        }
    }
}

/// Attributes read so far. Only ever grows while it is shared, so what it lends stays where it is.
struct Slots<'py>(OnceCell<Box<Slot<'py>>>);

struct Slot<'py> {
    name: Bound<'py, PyString>,
    /// A whole attribute, which may be asked for again; not a path into one.
    shared: bool,
    held: Held<'py>,
    next: Slots<'py>,
}

impl<'py> Slots<'py> {
    fn get(&self, name: &Bound<'py, PyString>, shared: bool, read: impl FnOnce() -> Held<'py>) -> &Held<'py> {
        let mut slots = self;
        while let Some(slot) = slots.0.get() {
            if shared && slot.shared && slot.name.is(name) {
                return &slot.held;
            }
            slots = &slot.next;
        }
        let held = read();
        // Reading may have run a mapping's own code, but that cannot have reached this evaluation.
        let slot = || Box::new(Slot { name: name.clone(), shared, held, next: Slots(OnceCell::new()) });
        &slots.0.get_or_init(slot).held
    }
}

/// A dictionary to read: itself, or a copy of another mapping.
fn as_dict(value: Bound<'_, PyAny>) -> Option<Bound<'_, PyDict>> {
    match value.cast_into::<PyDict>() {
        Ok(dict) => Some(dict),
        Err(other) => copy_of_mapping(&other.into_inner()),
    }
}

/// The texts in any iterable, or a single text; none if it is something else.
fn names_in(names: &Bound<'_, PyAny>) -> Value {
    if let Ok(name) = names.extract::<String>() {
        return [name].into_iter().collect();
    }
    let Ok(names) = names.try_iter() else {
        return Value::Null;
    };
    names.flatten().filter_map(|name| name.extract::<String>().ok()).map(Value::String).collect()
}
