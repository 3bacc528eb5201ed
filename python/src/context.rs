//! `ldclient.Context`: who or what a flag is evaluated for.
//!
//! Nothing here raises for bad data: a context that breaks a rule is one whose `valid` is false.

use std::sync::Arc;

use flagstaff_eval::Value;
use flagstaff_eval::context::{ContextError, SingleContext};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

use crate::context_builder::{ContextBuilder, ContextMultiBuilder};
use crate::interrupts;
use crate::logging;
use crate::shared_context::SharedContext;
use crate::value::{FromPython, to_python, type_name};
use crate::visits;

/// A collection of attributes that can be referenced in flag evaluations and analytics events.
///
/// Make one with :meth:`create`, :meth:`builder` or :meth:`create_multi`. Contexts never change.
/// Making one never raises: look at :attr:`valid` and :attr:`error`.
#[pyclass(module = "ldclient.context", name = "Context", subclass, frozen, eq)]
#[derive(PartialEq)]
pub(crate) struct Context {
    inner: Result<SharedContext, String>,
}

impl From<Result<flagstaff_eval::Context, ContextError>> for Context {
    fn from(made: Result<flagstaff_eval::Context, ContextError>) -> Self {
        Self { inner: made.map(SharedContext::new).map_err(|error| error.to_string()) }
    }
}

impl From<Arc<flagstaff_eval::Context>> for Context {
    fn from(context: Arc<flagstaff_eval::Context>) -> Self {
        Self { inner: Ok(context.into()) }
    }
}

impl Context {
    pub(crate) fn invalid(error: impl Into<String>) -> Self {
        Self { inner: Err(error.into()) }
    }

    /// The checked context, or what is wrong with it.
    #[inline]
    pub(crate) fn checked(&self) -> Result<&SharedContext, &str> {
        self.inner.as_ref().map_err(String::as_str)
    }

    /// The member, if this is a context of one kind.
    pub(crate) fn single(&self) -> Option<&SingleContext> {
        let context = self.inner.as_ref().ok()?;
        if context.is_multi() { None } else { context.members().first() }
    }
}

/// One context out of several: their errors joined, or what the rules say of the combination.
pub(crate) fn combine<'a>(contexts: impl Iterator<Item = &'a Context>) -> Context {
    let mut builder = flagstaff_eval::Context::multi_builder();
    let mut errors = Vec::new();
    for context in contexts {
        match context.checked() {
            Ok(context) => builder = builder.add((**context).clone()),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { builder.build().into() } else { Context::invalid(errors.join(", ")) }
}

#[pymethods]
impl Context {
    /// The kind a context has if none is given.
    #[classattr]
    const DEFAULT_KIND: &'static str = "user";
    /// The kind of a context that holds several.
    #[classattr]
    const MULTI_KIND: &'static str = "multi";

    /// Prefer :meth:`create` and :meth:`builder`.
    #[new]
    #[pyo3(signature = (kind, key, name=None, anonymous=false, attributes=None, private_attributes=None))]
    fn new(
        kind: Option<&Bound<'_, PyAny>>,
        key: &Bound<'_, PyAny>,
        name: Option<&Bound<'_, PyAny>>,
        anonymous: bool,
        attributes: Option<&Bound<'_, PyDict>>,
        private_attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut builder = ContextBuilder::of_key(key);
        if let Some(kind) = kind {
            builder.set_kind(kind);
        }
        if let Some(name) = name {
            builder.set_attribute("name", name);
        }
        builder.set_anonymous(anonymous);
        if let Some(attributes) = attributes {
            for (name, value) in attributes.iter() {
                builder.set_attribute(&name.extract::<String>()?, &value);
            }
        }
        if let Some(references) = private_attributes {
            for reference in references.try_iter()? {
                builder.add_private(&reference?);
            }
        }
        interrupts::raise()?;
        Ok(builder.made())
    }

    /// Creates a context of one kind with nothing but a key.
    ///
    /// :param key: the context key; a number becomes text
    /// :param kind: the context kind; ``user`` if it is not given
    #[classmethod]
    #[pyo3(signature = (key, kind=None))]
    fn create(
        _class: &Bound<'_, PyType>,
        key: &Bound<'_, PyAny>,
        kind: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut builder = ContextBuilder::of_key(key);
        interrupts::raise()?;
        match kind {
            Some(kind) if !kind.is_instance_of::<PyString>() => {
                return Ok(Context::invalid("invalid data type for \"kind\""));
            }
            Some(kind) => builder.set_kind(kind),
            None => {}
        }
        Ok(builder.made())
    }

    /// Creates a context of several kinds out of contexts of one kind each.
    ///
    /// One context comes out as it went in; the members of a multi-context are added one by one.
    #[classmethod]
    #[pyo3(signature = (*contexts))]
    fn create_multi<'py>(
        _class: &Bound<'py, PyType>,
        contexts: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, Context>> {
        let py = contexts.py();
        let contexts = contexts
            .iter()
            .map(|context| Ok(context.cast_into::<Context>()?))
            .collect::<PyResult<Vec<_>>>()?;
        match <[_; 1]>::try_from(contexts) {
            Ok([only]) => Ok(only),
            Err(several) => Bound::new(py, combine(several.iter().map(Bound::get))),
        }
    }

    /// Starts building a context of one kind.
    #[classmethod]
    fn builder(_class: &Bound<'_, PyType>, key: &Bound<'_, PyAny>) -> PyResult<ContextBuilder> {
        let builder = ContextBuilder::of_key(key);
        interrupts::raise()?;
        Ok(builder)
    }

    /// Starts building a context with all the attributes of another.
    #[classmethod]
    fn builder_from_context(_class: &Bound<'_, PyType>, context: &Bound<'_, Context>) -> ContextBuilder {
        ContextBuilder::of_context(context.get())
    }

    /// Starts building a context of several kinds.
    #[classmethod]
    fn multi_builder(_class: &Bound<'_, PyType>) -> ContextMultiBuilder {
        ContextMultiBuilder::default()
    }

    /// Reads the JSON form of a context, as :meth:`to_dict` writes it.
    #[classmethod]
    fn from_dict(_class: &Bound<'_, PyType>, props: &Bound<'_, PyAny>) -> PyResult<Self> {
        if props.is_none() {
            return Ok(Context::invalid("Cannot use None as a context"));
        }
        let context = Context::from_properties(props);
        interrupts::raise()?;
        Ok(context)
    }

    /// Whether the context can be used.
    #[getter]
    fn valid(&self) -> bool {
        self.inner.is_ok()
    }

    /// What is wrong with the context; ``None`` if it is valid.
    #[getter]
    fn error(&self) -> Option<&str> {
        self.checked().err()
    }

    /// Whether the context holds several kinds.
    #[getter]
    fn multiple(&self) -> bool {
        self.inner.as_ref().is_ok_and(|context| context.is_multi())
    }

    /// The kind; ``multi`` if there are several, empty if the context is not valid.
    #[getter]
    fn kind(&self) -> &str {
        self.inner.as_ref().map_or("", |context| context.kind())
    }

    /// The key; empty if there are several kinds, or the context is not valid.
    #[getter]
    fn key(&self) -> &str {
        self.single().map_or("", SingleContext::key)
    }

    /// The name, or ``None``.
    #[getter]
    fn name(&self) -> Option<&str> {
        self.single()?.name()
    }

    /// Whether the context is left out of lists of known contexts.
    #[getter]
    fn anonymous(&self) -> bool {
        self.single().is_some_and(SingleContext::is_anonymous)
    }

    /// The value of an attribute by its name, built-in or custom; ``None`` if there is none.
    ///
    /// A list or dictionary that comes out is a copy.
    fn get<'py>(
        &self,
        py: Python<'py>,
        attribute: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(name) = attribute.extract::<String>() else {
            return Ok(None);
        };
        if name == "kind" && self.inner.is_ok() {
            return Ok(Some(PyString::new(py, self.kind()).into_any()));
        }
        let Some(member) = self.single() else {
            return Ok(None);
        };
        Ok(match &*name {
            "key" => Some(PyString::new(py, member.key()).into_any()),
            "name" => member.name().map(|name| PyString::new(py, name).into_any()),
            "anonymous" => Some(to_python(py, &Value::Bool(member.is_anonymous()))?),
            _ => member.attribute(&name).map(|value| to_python(py, value)).transpose()?,
        })
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        attribute: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.get(py, attribute)
    }

    fn __contains__(&self, py: Python<'_>, attribute: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.get(py, attribute)?.is_some())
    }

    /// The names of all attributes that have a value.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let mut names = Vec::new();
        if self.inner.is_ok() {
            names.push("kind");
        }
        if let Some(member) = self.single() {
            names.push("key");
            names.extend(member.name().map(|_| "name"));
            names.push("anonymous");
            names.extend(member.attributes().map(|(name, _)| name));
        }
        Ok(PyList::new(py, names)?.try_iter()?.into_any())
    }

    /// How many kinds there are; 0 if the context is not valid.
    #[getter]
    fn individual_context_count(&self) -> usize {
        self.inner.as_ref().map_or(0, |context| context.members().len())
    }

    /// The member of a kind, or at a place in the order of kinds; ``None`` if there is none.
    fn get_individual_context<'py>(
        slf: &Bound<'py, Self>,
        kind: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, Context>>> {
        let Ok(context) = slf.get().checked() else {
            return Ok(None);
        };
        let member = if let Ok(kind) = kind.extract::<String>() {
            context.member(&kind)
        } else if let Ok(index) = kind.extract::<usize>() {
            context.members().get(index)
        } else {
            None
        };
        let Some(member) = member else {
            return Ok(None);
        };
        if !context.is_multi() {
            return Ok(Some(slf.clone()));
        }
        let made = flagstaff_eval::context::ContextBuilder::from(member).build();
        Bound::new(slf.py(), Context::from(made)).map(Some)
    }

    /// The names of the custom attributes.
    #[getter]
    fn custom_attributes(&self) -> Vec<&str> {
        self.single().map_or_else(Vec::new, |member| member.attributes().map(|(name, _)| name).collect())
    }

    /// The attributes that are removed from events, as references.
    #[getter]
    fn private_attributes(&self) -> Vec<String> {
        self.single().map_or_else(Vec::new, private_attributes)
    }

    /// The text that tells contexts apart: the key of a user, else ``kind:key`` of each member in
    /// the order of kinds, with ``%`` and ``:`` in keys escaped.
    #[getter]
    fn fully_qualified_key(&self) -> &str {
        self.inner.as_ref().map_or("", |context| flagstaff_eval::Context::canonical_key(context))
    }

    /// The JSON form as a dictionary; empty if the context is not valid.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let Ok(context) = self.checked() else {
            return Ok(dict);
        };
        if let Some(member) = self.single() {
            write_member(&dict, member, true)?;
            return Ok(dict);
        }
        dict.set_item(intern!(py, "kind"), Context::MULTI_KIND)?;
        for member in context.members() {
            let inner = PyDict::new(py);
            write_member(&inner, member, false)?;
            dict.set_item(member.kind(), inner)?;
        }
        Ok(dict)
    }

    /// The JSON form as text.
    fn to_json_string<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let options = PyDict::new(py);
        options.set_item("separators", (",", ":"))?;
        let _counted = visits::enter();
        py.import("json")?.call_method("dumps", (self.to_dict(py)?,), Some(&options))
    }

    /// This context without its anonymous members; not valid if nothing is left.
    fn without_anonymous_contexts(&self) -> Self {
        match self.checked() {
            Ok(context) => context.without_anonymous().ok_or(ContextError::NoKinds).into(),
            Err(error) => Context::invalid(error),
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        match &self.inner {
            Ok(_) => self.to_json_string(py)?.extract(),
            Err(error) => Ok(format!("[invalid context: {error}]")),
        }
    }

    fn __copy__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __deepcopy__<'py>(slf: Bound<'py, Self>, _memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        slf
    }

    /// A context that is not valid, as it comes out of a pickle.
    #[staticmethod]
    #[pyo3(name = "_invalid")]
    fn py_invalid(error: String) -> Self {
        Context::invalid(error)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let py = slf.py();
        Ok(match slf.get().checked() {
            Ok(_) => (slf.getattr("from_dict")?, (slf.get().to_dict(py)?.into_any(),)),
            Err(error) => (slf.getattr("_invalid")?, (PyString::new(py, error).into_any(),)),
        })
    }
}

impl Context {
    /// Reads the JSON form from a dictionary, or any other mapping.
    pub(crate) fn from_properties(properties: &Bound<'_, PyAny>) -> Self {
        let mut convert = FromPython::default();
        let json = convert.value(properties);
        if let Some(type_name) = convert.replaced {
            logging::warn_of_other_type(properties.py(), &type_name);
        }
        match &json {
            Value::Object(map) if !map.get("kind").is_some_and(Value::is_string) => {
                Context::invalid("invalid data type for \"kind\"")
            }
            Value::Object(_) => flagstaff_eval::Context::from_json(&json).into(),
            _ => Context::invalid(format!("Cannot use a {} as a context", type_name(properties))),
        }
    }
}

fn private_attributes(member: &SingleContext) -> Vec<String> {
    member.private_attributes().iter().map(ToString::to_string).collect()
}

fn write_member(dict: &Bound<'_, PyDict>, member: &SingleContext, with_kind: bool) -> PyResult<()> {
    let py = dict.py();
    dict.set_item(intern!(py, "key"), member.key())?;
    if with_kind {
        dict.set_item(intern!(py, "kind"), member.kind())?;
    }
    if let Some(name) = member.name() {
        dict.set_item(intern!(py, "name"), name)?;
    }
    if member.is_anonymous() {
        dict.set_item(intern!(py, "anonymous"), true)?;
    }
    for (name, value) in member.attributes() {
        dict.set_item(name, to_python(py, value)?)?;
    }
    if !member.private_attributes().is_empty() {
        let meta = PyDict::new(py);
        meta.set_item("privateAttributes", private_attributes(member))?;
        dict.set_item("_meta", meta)?;
    }
    Ok(())
}
