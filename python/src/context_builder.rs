//! `ldclient.ContextBuilder` and `ldclient.ContextMultiBuilder`.

use flagstaff_eval::Value;
use flagstaff_eval::context::ContextBuilder as Builder;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::context::{Context, combine};
use crate::interrupts;
use crate::logging;
use crate::value::{FromPython, text_of};

/// Builds a context of one kind. Can be built from more than once: contexts made before are unaffected.
#[pyclass(module = "ldclient.context", name = "ContextBuilder", subclass)]
pub(crate) struct ContextBuilder {
    inner: Builder,
}

impl ContextBuilder {
    pub(crate) fn of_key(key: &Bound<'_, PyAny>) -> Self {
        Self { inner: flagstaff_eval::Context::builder(key_text(key)) }
    }

    pub(crate) fn of_context(context: &Context) -> Self {
        let empty = || flagstaff_eval::Context::builder("");
        Self { inner: context.single().map_or_else(empty, Builder::from) }
    }

    pub(crate) fn made(&self) -> Context {
        self.inner.build().into()
    }

    pub(crate) fn set_kind(&mut self, kind: &Bound<'_, PyAny>) {
        if let Ok(kind) = kind.cast::<PyString>() {
            self.inner.try_set("kind", kind.to_string_lossy().as_ref());
        }
    }

    pub(crate) fn set_anonymous(&mut self, anonymous: bool) {
        self.inner.try_set("anonymous", anonymous);
    }

    /// False if the value was refused.
    pub(crate) fn set_attribute(&mut self, name: &str, value: &Bound<'_, PyAny>) -> bool {
        attribute(name, value).is_some_and(|value| self.inner.try_set(name, value))
    }

    pub(crate) fn add_private(&mut self, reference: &Bound<'_, PyAny>) {
        if let Ok(reference) = reference.extract::<String>() {
            let builder = std::mem::replace(&mut self.inner, flagstaff_eval::Context::builder(""));
            self.inner = builder.private(reference);
        }
    }
}

#[pymethods]
impl ContextBuilder {
    /// :param key: the context key; a number becomes text
    #[new]
    fn new(key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let builder = Self::of_key(key);
        interrupts::raise()?;
        Ok(builder)
    }

    /// Sets the key.
    #[pyo3(name = "key")]
    fn py_key<'py>(slf: Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let key = key_text(key);
        slf.borrow_mut().inner.try_set("key", key);
        interrupts::raise()?;
        Ok(slf)
    }

    /// Sets the kind.
    #[pyo3(name = "kind")]
    fn py_kind<'py>(slf: Bound<'py, Self>, kind: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf.borrow_mut().set_kind(kind);
        slf
    }

    /// Sets the name; ``None`` removes it.
    #[pyo3(name = "name")]
    fn py_name<'py>(slf: Bound<'py, Self>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        Self::try_set(&slf, intern!(slf.py(), "name").as_any(), name)?;
        Ok(slf)
    }

    /// Sets whether the context is left out of lists of known contexts.
    #[pyo3(name = "anonymous")]
    fn py_anonymous<'py>(slf: Bound<'py, Self>, anonymous: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        // Whatever is true in Python: a 1 of a database or of NumPy that was passed over would make
        // somebody known who is not to be.
        if let Some(anonymous) = interrupts::contained(slf.py(), anonymous.is_truthy()) {
            slf.borrow_mut().set_anonymous(anonymous);
        }
        interrupts::raise()?;
        Ok(slf)
    }

    /// Sets any attribute by its name; ``None`` removes it. See :meth:`try_set` for what is refused.
    fn set<'py>(
        slf: Bound<'py, Self>,
        attribute: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        Self::try_set(&slf, attribute, value)?;
        Ok(slf)
    }

    /// Sets any attribute by its name; ``None`` removes it.
    ///
    /// :return: whether it was set. A name that is empty or no text, ``_meta``, and a built-in attribute of
    ///     the wrong type are refused: ``kind`` and ``key`` must be text, ``name`` text or ``None``,
    ///     ``anonymous`` a bool
    fn try_set(
        slf: &Bound<'_, Self>,
        attribute: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let Ok(name) = attribute.extract::<String>() else { return Ok(false) };
        // Converted first: that may run code of the program's, which may use this very builder.
        let value = self::attribute(&name, value);
        let set = value.is_some_and(|value| slf.borrow_mut().inner.try_set(&name, value));
        interrupts::raise()?;
        Ok(set)
    }

    /// Adds attributes that are used to evaluate but removed from events, as names or ``/path`` references.
    #[pyo3(signature = (*attributes))]
    fn private<'py>(slf: Bound<'py, Self>, attributes: &Bound<'py, PyTuple>) -> Bound<'py, Self> {
        for reference in attributes.iter() {
            slf.borrow_mut().add_private(&reference);
        }
        slf
    }

    /// Makes the context; look at its ``valid``.
    fn build(&self) -> Context {
        self.made()
    }
}

/// Builds a context of several kinds.
#[pyclass(module = "ldclient.context", name = "ContextMultiBuilder", subclass)]
#[derive(Default)]
pub(crate) struct ContextMultiBuilder {
    contexts: Vec<Py<Context>>,
}

#[pymethods]
impl ContextMultiBuilder {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Adds a context; the members of a multi-context are added one by one.
    fn add<'py>(slf: Bound<'py, Self>, context: Bound<'py, Context>) -> Bound<'py, Self> {
        slf.borrow_mut().contexts.push(context.unbind());
        slf
    }

    /// Makes the context; one member comes out as it went in.
    fn build<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Context>> {
        match self.contexts.as_slice() {
            [only] => Ok(only.bind(py).clone()),
            contexts => Bound::new(py, combine(contexts.iter().map(|context| context.bind(py).get()))),
        }
    }
}

/// An attribute's value; none if it is refused because it has no JSON form.
fn attribute(name: &str, value: &Bound<'_, PyAny>) -> Option<Value> {
    let mut convert = FromPython::default();
    let json = convert.value(value);
    if let Some(type_name) = convert.replaced {
        // Built-in attributes are never the text of something else.
        if matches!(name, "kind" | "key" | "name" | "anonymous") {
            return None;
        }
        logging::warn_of_other_type(value.py(), &type_name);
    }
    Some(json)
}

/// A key as text: nothing for ``None``, `str()` of what is not text.
fn key_text(key: &Bound<'_, PyAny>) -> String {
    if key.is_none() { String::new() } else { text_of(key) }
}
